package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importWorker is the worker with its validated settings.
type importWorker struct {
	*runCommand
	logger         *slog.Logger
	temporal       client.Options
	maxConnections int
	stopTimeout    time.Duration
	archive        *url.URL           // nil for none
	plugin         scrapehaul.Options // without the connections that run makes
	deployment     worker.DeploymentOptions
	tracing        program.Tracing
}

// run runs the worker until ctx ends or the worker fails, then finishes batches in progress
// within the stop timeout.
func (w *importWorker) run(ctx context.Context) (err error) {
	db, version, err := w.DatabaseFlags.Open(ctx, w.maxConnections, w.logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w.plugin.DB = db

	if w.archive != nil {
		if w.plugin.Archive, err = openArchive(ctx, w.archive); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.plugin.Archive.Close()) }()
	}

	metrics, err := program.NewMetrics(w.logger, "HEALTH_ADDRESS", w.HealthAddress, &w.temporal)
	if err != nil {
		return err
	}
	if metrics != nil {
		accounts := slices.Sorted(maps.Keys(w.plugin.Clouds))
		activities.InitMetrics(w.temporal.MetricsHandler, accounts...)
		workflows.InitMetrics(w.temporal.MetricsHandler, accounts...)
	}
	stopTracing, err := w.tracing.Start(ctx, w.logger, "scrapehaul-worker", &w.temporal)
	if err != nil {
		return err
	}
	defer stopTracing()
	w.temporal.Identity = identity(w.plugin.SpoolDir)
	temporal, err := client.DialContext(ctx, w.temporal)
	if err != nil {
		return fmt.Errorf("connecting to Temporal at %s: %w", w.temporal.HostPort, err)
	}
	defer temporal.Close()

	w.plugin.Client = temporal
	plugin, err := scrapehaul.NewPlugin(w.plugin)
	if err != nil {
		return err
	}
	fatal := make(chan error, 1)
	importer := worker.New(temporal, w.TaskQueue, worker.Options{
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
	w.logger.Info("Worker started", "task_queue", w.TaskQueue, "temporal", w.temporal.HostPort,
		"namespace", w.temporal.Namespace, "spool", w.plugin.SpoolDir, "schema_version", version)
	if rowsOnly := w.plugin.Mappings.RowsOnly(); len(rowsOnly) > 0 && w.archive == nil {
		w.logger.Warn("Records are not kept (keep_records: false) and there is no archive (ARCHIVE_URL): jobs deleted in the cloud can never be remapped, compared or shown in views", "sitemaps", rowsOnly)
	}
	defer w.logger.Info("Worker stopped")
	defer importer.Stop()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	health := make(chan error, 1)
	go func() { health <- w.serveHealth(ctx, temporal, db, metrics) }()
	select {
	case err := <-fatal:
		return fmt.Errorf("the worker failed: %w", err)
	case err := <-health:
		return err
	case <-ctx.Done():
		w.logger.Info("Worker stopping; finishing batches in progress")
		return nil
	}
}

// identity stays the same when a worker restarts: Temporal lists for minutes which
// identities have polled.
func identity(spoolDir string) string {
	host, err := os.Hostname()
	folder, err2 := filepath.Abs(spoolDir)
	if err != nil || err2 != nil {
		return "" // the SDK's default
	}
	return host + ":" + folder
}

// serveHealth serves /healthz, /readyz and /metrics until ctx ends, if there is an address.
func (w *importWorker) serveHealth(ctx context.Context, temporal client.Client, db *sqlx.DB, metrics *program.Metrics) error {
	gin.SetMode(gin.ReleaseMode)
	return metrics.Serve(ctx, "Serving health checks", temporal, func(router gin.IRouter) {
		metrics.WatchAPIBudget(db, slices.Sorted(maps.Keys(w.plugin.Clouds)))
		program.RegisterHealth(router, w.logger, program.NeedTemporal(temporal, w.temporal.Namespace), program.Need{Name: "PostgreSQL", Reach: db.PingContext})
	})
}
