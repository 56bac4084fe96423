package main

import (
	"fmt"
	"log/slog"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/statuspage"
)

// pageConnections are enough for a few concurrent viewers.
const pageConnections = 4

// statusPageFlags are the settings of the status page, which is off unless it has
// credentials. Nothing else in the starter needs the database.
type statusPageFlags struct {
	program.DatabaseFlags
	StatusPageUser     string `env:"STATUS_PAGE_USER" placeholder:"USER" help:"User of the status page at /imports. Off unless set."`
	StatusPagePassword string `env:"STATUS_PAGE_PASSWORD" placeholder:"PASSWORD" help:"Password of the status page, at least 12 characters."`
	TemporalUIURL      string `name:"temporal-ui-url" env:"TEMPORAL_UI_URL" placeholder:"URL" help:"Temporal UI that the status page links to. No links unless set."`
}

func (f *statusPageFlags) on() bool { return f.StatusPageUser != "" || f.StatusPagePassword != "" }

// validate reports invalid settings to s, if the page is on.
func (f *statusPageFlags) validate(s *program.Settings) {
	if !f.on() {
		return
	}
	s.Check(validate.User("STATUS_PAGE_USER", f.StatusPageUser))
	s.Check(validate.Password("STATUS_PAGE_PASSWORD", f.StatusPagePassword))
	s.Check(validate.TemporalUIURL("TEMPORAL_UI_URL", f.TemporalUIURL))
	f.DatabaseFlags.Validate(s)
}

// register adds the page, if it is on. The page connects to PostgreSQL when it is
// requested; shut closes the connections.
func (f *statusPageFlags) register(router gin.IRoutes, temporal client.Client, namespace string, logger *slog.Logger) (shut func(), err error) {
	if !f.on() {
		return func() {}, nil
	}
	db, err := f.Connect(pageConnections)
	if err != nil {
		return nil, err
	}
	shut = func() { _ = db.Close() } // nothing is written
	err = statuspage.Register(router, statuspage.Options{
		Client: temporal, Namespace: namespace, Store: postgres.NewStore(db, nil),
		User: f.StatusPageUser, Password: f.StatusPagePassword, TemporalUIURL: f.TemporalUIURL, Logger: logger,
	})
	if err != nil {
		shut()
		return nil, fmt.Errorf("preparing the status page: %w", err)
	}
	return shut, nil
}
