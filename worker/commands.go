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
	Run            runCommand            `cmd:"" default:"withargs" help:"Run the worker until SIGTERM (the default)."`
	Migrate        migrateCommand        `cmd:"" help:"Migrate the database schema scrapehaul to this version, and exit."`
	Healthcheck    healthcheckCommand    `cmd:"" help:"Check the health of the worker at HEALTH_ADDRESS."`
	CheckMapping   checkMappingCommand   `cmd:"" help:"Check a mappings file, and show the rows a download would become or, with --database, the changes to the tables."`
	MigrateMapping migrateMappingCommand `cmd:"" help:"Change the mapped tables and their rows to match a mappings file, and exit."`

	Version program.VersionFlag `help:"Print the version and exit."`
}

// runCommand's settings are text, so that all problems are reported together.
type runCommand struct {
	program.DatabaseFlags
	program.CloudFlags
	program.SpoolFlags
	archiveFlags
	deploymentFlags
	publishedFlags
	TaskQueue            string `env:"TASK_QUEUE" default:"${task_queue}" help:"Task queue that the starter sends imports to. Default: ${default}."`
	MaxConcurrentImports string `env:"MAX_CONCURRENT_IMPORTS" default:"4" placeholder:"N" help:"Concurrent downloads and imports. Default: ${default}."`
	ConnectionsPerImport string `env:"CONNECTIONS_PER_IMPORT" default:"2" placeholder:"N" help:"Database connections that an import writes over concurrently. Default: ${default}."`
	Mappings             string `env:"MAPPINGS" placeholder:"FILE" help:"Mappings file: records also become rows of tables with typed columns (docs/mapping.md). Set the same on all workers. Off unless set."`
	RecordsRetention     string `env:"RECORDS_RETENTION" placeholder:"DURATION" help:"How long to keep the records of an import, like 2160h. A sitemap's last finished job is always kept. Forever unless set."`
	KeepImports          string `env:"KEEP_IMPORTS" default:"0" placeholder:"N" help:"How many imports of each sitemap to keep regardless of age; others are removed, after RECORDS_RETENTION if that is set. 0 turns this off. Default: ${default}."`
	APICalls             string `name:"api-calls-per-15-minutes" env:"API_CALLS_PER_15_MINUTES" default:"200" placeholder:"N" help:"The account's API rate limit, shared by all workers. Default: ${default}."`
	MaxConnections       string `name:"database-max-connections" env:"DATABASE_MAX_CONNECTIONS" default:"10" placeholder:"N" help:"Connections to the database. Default: ${default}."`
	StopTimeout          string `env:"WORKER_STOP_TIMEOUT" default:"25s" help:"How long a stop waits for batches in progress. Default: ${default}."`
	HealthAddress        string `env:"HEALTH_ADDRESS" placeholder:"HOST:PORT" help:"Address for /healthz, /readyz and /metrics. Off unless set."`
}

// Run validates all settings and runs the worker until ctx ends.
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
			RecordsRetention:     optionalDuration(&s, "RECORDS_RETENTION", c.RecordsRetention, mapping.MinRecordsRetention),
			KeepImports:          s.Int("KEEP_IMPORTS", c.KeepImports, 0, mapping.MaxKeepImports),
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

// optionalDuration returns 0 if the setting is empty.
func optionalDuration(s *program.Settings, name, value string, shortest time.Duration) time.Duration {
	if value == "" {
		return 0
	}
	return s.Duration(name, value, shortest)
}

// mappings returns the mappings of the file, nil if there is no file.
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

// Run migrates and prints the version.
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
