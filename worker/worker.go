package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importWorker is the worker with its settings, all of them valid.
type importWorker struct {
	logger               *slog.Logger
	temporal             client.Options
	cloud                *webscraper.Client
	database             program.DatabaseFlags
	taskQueue            string
	spoolDir             string
	spoolMinFree         int64
	maxConcurrentImports int
	connectionsPerImport int
	apiCalls             int
	maxConnections       int
	stopTimeout          time.Duration
	healthAddress        string
	mappings             *mapping.Mappings // nil for none
	archive              *url.URL          // nil for none
	archiveRetention     time.Duration
	deployment           worker.DeploymentOptions
	tracing              program.Tracing
}

// run works until ctx ends or the worker cannot go on, then finishes what is
// under way within the stop timeout.
func (w *importWorker) run(ctx context.Context) (err error) {
	db, version, err := w.database.Open(ctx, w.maxConnections, w.logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	var archive *blob.Bucket
	if w.archive != nil {
		if archive, err = openArchive(ctx, w.archive); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, archive.Close()) }()
	}

	metrics, err := w.prepareMetrics()
	if err != nil {
		return err
	}
	stopTracing, err := w.tracing.Start(ctx, w.logger, "scrapehaul-worker", &w.temporal)
	if err != nil {
		return err
	}
	defer stopTracing()
	w.temporal.Identity = identity(w.spoolDir)
	temporal, err := client.DialContext(ctx, w.temporal)
	if err != nil {
		return fmt.Errorf("connecting to Temporal at %s: %w", w.temporal.HostPort, err)
	}
	defer temporal.Close()

	plugin, err := scrapehaul.NewPlugin(scrapehaul.Options{
		Client:               temporal,
		Cloud:                w.cloud,
		DB:                   db,
		SpoolDir:             w.spoolDir,
		SpoolMinFree:         w.spoolMinFree,
		MaxConcurrentImports: w.maxConcurrentImports,
		ConnectionsPerImport: w.connectionsPerImport,
		APICallsPer15Minutes: w.apiCalls,
		Mappings:             w.mappings,
		Archive:              archive,
		ArchiveRetention:     w.archiveRetention,
	})
	if err != nil {
		return err
	}
	fatal := make(chan error, 1)
	importer := worker.New(temporal, w.taskQueue, worker.Options{
		Plugins:           []worker.Plugin{plugin},
		WorkerStopTimeout: w.stopTimeout,
		DeploymentOptions: w.deployment,
		OnFatalError: func(err error) {
			select {
			case fatal <- err:
			default: // one is enough
			}
		},
	})
	if err := importer.Start(); err != nil {
		return fmt.Errorf("starting the worker: %w", err)
	}
	w.logger.Info("Worker started", "task_queue", w.taskQueue, "temporal", w.temporal.HostPort,
		"namespace", w.temporal.Namespace, "spool", w.spoolDir, "schema_version", version)
	defer w.logger.Info("Worker stopped")
	defer importer.Stop()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	health := make(chan error, 1)
	go func() { health <- w.serveHealth(ctx, temporal, db, metrics) }()
	select {
	case err := <-fatal:
		return fmt.Errorf("the worker cannot go on: %w", err)
	case err := <-health:
		return err
	case <-ctx.Done():
		w.logger.Info("Worker stopping: batches under way are finished first")
		return nil
	}
}

// identity is the same for a worker that is started again, as Temporal remembers for
// minutes who has polled.
func identity(spoolDir string) string {
	host, err := os.Hostname()
	folder, err2 := filepath.Abs(spoolDir)
	if err != nil || err2 != nil {
		return "" // that of the SDK
	}
	return host + ":" + folder
}

// prepareMetrics returns nil when nobody can ask for them.
func (w *importWorker) prepareMetrics() (*program.Metrics, error) {
	if w.healthAddress == "" {
		return nil, nil
	}
	metrics, err := program.NewMetrics(w.logger)
	if err != nil {
		return nil, err
	}
	w.temporal.MetricsHandler = metrics.Handler()
	activities.InitMetrics(metrics.Handler())
	workflows.InitMetrics(metrics.Handler())
	return metrics, nil
}

// serveHealth answers /healthz, /readyz and /metrics until ctx ends, if it is to.
func (w *importWorker) serveHealth(ctx context.Context, temporal client.Client, db *sqlx.DB, metrics *program.Metrics) error {
	if w.healthAddress == "" {
		<-ctx.Done()
		return nil
	}
	metrics.WatchOpenImports(temporal, w.taskQueue)
	metrics.WatchAPIBudget(postgres.NewLedger(db, postgres.DefaultAccount, 0))
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	metrics.Register(engine)
	program.RegisterHealth(engine, w.logger, program.NeedTemporal(temporal), program.Need{Name: "PostgreSQL", Reach: db.PingContext})
	return program.Serve(ctx, w.logger, w.healthAddress, engine, func(address net.Addr) {
		w.logger.Info("Health served", "address", address.String())
	})
}
