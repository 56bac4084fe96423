package localservers

import (
	"context"
	"fmt"
	"net/http"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// System is a complete scrapehaul on this machine, except its workers.
type System struct {
	Programs builtprograms.Programs
	Temporal *temporalserver.Server
	DB       *sqlx.DB // with the schema
	Cloud    *webscrapertest.Cloud
	// Env is the environment of the starter, and for the workers.
	Env                  builtprograms.Environment
	CloudURL, WebhookURL string
}

// SystemOptions configure a System.
type SystemOptions struct {
	Programs builtprograms.Programs
	Database string // the prefix of the database's name
	UI       bool   // with Temporal's web UI
	Cloud    *webscrapertest.Cloud
	Handler  http.Handler // serves the cloud; default: the cloud itself
	APIToken string
	Settings map[string]string // of the starter and the workers
	Setup    bool              // run "starter setup" first: search attributes and the schedule
}

// webhookToken is the token of the notifications.
const webhookToken = "local-webhook-token"

// System starts the servers and a starter, and points the cloud's notifications to it.
func (s *Servers) System(ctx context.Context, options SystemOptions) (system System, err error) {
	system = System{Programs: options.Programs, Cloud: options.Cloud}
	var databaseURL string
	if system.DB, databaseURL, err = s.MigratedDatabase(ctx, options.Database); err != nil {
		return system, err
	}
	if system.Temporal, err = s.Temporal(ctx, options.UI); err != nil {
		return system, err
	}
	var handler http.Handler = options.Cloud
	if options.Handler != nil {
		handler = options.Handler
	}
	s.Progress("Starting the fake Web Scraper Cloud and the webhook server")
	system.CloudURL = s.Serve(handler)
	system.Env = builtprograms.Environment{
		TemporalAddress:   system.Temporal.HostPort,
		TemporalNamespace: system.Temporal.Namespace,
		DatabaseURL:       databaseURL,
		APIBaseURI:        system.CloudURL + webscrapertest.BasePath,
		APIToken:          options.APIToken,
		WebhookToken:      webhookToken,
		Settings:          options.Settings,
		Log:               s.Log,
	}
	if options.Setup {
		if _, err := system.Programs.RunStarter(ctx, system.Env, "setup"); err != nil {
			return system, err
		}
	}
	system.WebhookURL, err = s.Starter(system.Programs, system.Env, system.Cloud)
	return system, err
}

// MigratedDatabase is [Servers.Database] with the schema scrapehaul.
func (s *Servers) MigratedDatabase(ctx context.Context, prefix string) (db *sqlx.DB, databaseURL string, err error) {
	if db, databaseURL, err = s.Database(ctx, prefix); err != nil {
		return nil, "", err
	}
	if _, err := postgres.Migrate(ctx, db); err != nil {
		return nil, "", fmt.Errorf("migrating the database: %w", err)
	}
	return db, databaseURL, nil
}
