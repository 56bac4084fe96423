package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/mapping"
)

type commands struct {
	Run            runCommand            `cmd:"" default:"withargs" help:"Work until SIGTERM (the default)."`
	Migrate        migrateCommand        `cmd:"" help:"Bring the database's schema scrapehaul to this version and end."`
	Healthcheck    healthcheckCommand    `cmd:"" help:"Ask the worker on HEALTH_ADDRESS whether it is well."`
	CheckMapping   checkMappingCommand   `cmd:"" help:"Check a file of mappings, and show how the records of a download would land, or with --database what it would change."`
	MigrateMapping migrateMappingCommand `cmd:"" help:"Change the tables in the database to what a file of mappings says, with what they hold, and end."`

	Version program.VersionFlag `help:"Print the version and end."`
}

// runCommand's settings are text, so that all that is wrong is told at once.
type runCommand struct {
	program.DatabaseFlags
	program.CloudFlags
	program.SpoolFlags
	archiveFlags
	deploymentFlags
	publishedFlags
	TaskQueue            string `env:"TASK_QUEUE" default:"${task_queue}" help:"Task queue that the starter sends imports to. Default: ${default}."`
	MaxConcurrentImports string `env:"MAX_CONCURRENT_IMPORTS" default:"4" placeholder:"N" help:"Downloads and imports at a time. Default: ${default}."`
	ConnectionsPerImport string `env:"CONNECTIONS_PER_IMPORT" default:"2" placeholder:"N" help:"Connections to the database that an import writes over at a time. Default: ${default}."`
	Mappings             string `env:"MAPPINGS" placeholder:"FILE" help:"File of mappings: records become rows of tables with typed columns too (docs/mapping.md). The same on all workers. Off unless set."`
	RecordsRetention     string `env:"RECORDS_RETENTION" placeholder:"DURATION" help:"How long the records of an import are kept, like 2160h. A sitemap's last finished job is always kept. Default: for good."`
	KeepImports          string `env:"KEEP_IMPORTS" default:"0" placeholder:"N" help:"Imports of each sitemap that are kept whatever their age; the others are removed, after RECORDS_RETENTION if that is set. 0 turns it off. Default: ${default}."`
	APICalls             string `name:"api-calls-per-15-minutes" env:"API_CALLS_PER_15_MINUTES" default:"200" placeholder:"N" help:"The account's limit of API calls, for all workers together. Default: ${default}."`
	MaxConnections       string `name:"database-max-connections" env:"DATABASE_MAX_CONNECTIONS" default:"10" placeholder:"N" help:"Connections to the database. Default: ${default}."`
	StopTimeout          string `env:"WORKER_STOP_TIMEOUT" default:"25s" help:"How long a stop waits for batches under way. Default: ${default}."`
	HealthAddress        string `env:"HEALTH_ADDRESS" placeholder:"HOST:PORT" help:"Serve /healthz, /readyz and /metrics there. Off unless set."`
}

// Run validates all settings and works until ctx ends.
func (c *runCommand) Run(ctx context.Context, streams program.Streams) error {
	logger := streams.Logger()
	var s program.Settings
	c.validate(&s)
	archive, archiveRetention := c.archiveFlags.parse(&s)
	w := importWorker{
		runCommand:     c,
		logger:         logger,
		temporal:       s.Temporal(logger),
		maxConnections: s.Int("DATABASE_MAX_CONNECTIONS", c.MaxConnections, 2, 10_000),
		stopTimeout:    s.Duration("WORKER_STOP_TIMEOUT", c.StopTimeout, 0),
		archive:        archive,
		plugin: scrapehaul.Options{
			Clouds:               c.Clients(&s, logger),
			Mappings:             c.mappings(&s),
			SpoolDir:             c.SpoolDir,
			SpoolMinFree:         c.SpoolFlags.Validate(&s),
			MaxConcurrentImports: s.Int("MAX_CONCURRENT_IMPORTS", c.MaxConcurrentImports, 1, 1000),
			ConnectionsPerImport: s.Int("CONNECTIONS_PER_IMPORT", c.ConnectionsPerImport, 1, 100),
			APICallsPer15Minutes: s.Int("API_CALLS_PER_15_MINUTES", c.APICalls, 1, 100_000_000),
			ArchiveRetention:     archiveRetention,
			RecordsRetention:     optionalDuration(&s, "RECORDS_RETENTION", c.RecordsRetention, mapping.LeastRecordsRetention),
			KeepImports:          s.Int("KEEP_IMPORTS", c.KeepImports, 0, mapping.MostKeepImports),
			OnPublished:          c.publishedFlags.followUp(&s),
			PublishedWebhook:     c.publishedFlags.webhook(&s),
		},
		deployment: c.deploymentFlags.parse(&s),
		tracing:    s.Tracing(),
	}
	if err := s.Err(); err != nil {
		return err
	}
	return w.run(ctx)
}

func (c *runCommand) validate(s *program.Settings) {
	c.DatabaseFlags.Validate(s)
	s.Required("TASK_QUEUE", c.TaskQueue, "the same as the starter's")
	if c.HealthAddress != "" {
		s.Address("HEALTH_ADDRESS", c.HealthAddress)
	}
}

// optionalDuration is 0 if the setting is not given.
func optionalDuration(s *program.Settings, name, value string, least time.Duration) time.Duration {
	if value == "" {
		return 0
	}
	return s.Duration(name, value, least)
}

// mappings are those of the file, nil if there are to be none.
func (c *runCommand) mappings(s *program.Settings) *mapping.Mappings {
	if c.Mappings == "" {
		return nil
	}
	mappings, err := mapping.ReadFile(c.Mappings)
	if err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			s.Problem("MAPPINGS: %s", problem)
		}
	}
	return mappings
}

type migrateCommand struct {
	program.DatabaseFlags
}

// Run migrates and says to which version.
func (c *migrateCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	c.Validate(&s)
	if err := s.Err(); err != nil {
		return err
	}
	db, version, err := c.Open(ctx, 2, streams.Logger())
	if err != nil {
		return err
	}
	fmt.Fprintf(streams.Out, "schema scrapehaul is at version %d\n", version)
	return db.Close()
}

type healthcheckCommand struct {
	HealthAddress string `env:"HEALTH_ADDRESS" default:":8081" help:"Address of the worker's /readyz."`
}

// Run fails unless the worker is ready.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	return program.CheckHealth(ctx, c.HealthAddress, "/readyz")
}
