package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// webhookServer is the HTTP server with its validated settings.
type webhookServer struct {
	*serveCommand
	logger   *slog.Logger
	temporal client.Options
	webhook  webhook.Options // without the fields that run sets
	settings *currentSettings
	tracing  program.Tracing
}

// run serves until ctx ends. It starts without Temporal too: until Temporal is reachable,
// notifications are answered with 503.
func (s *webhookServer) run(ctx context.Context) error {
	metrics, err := program.NewMetrics(s.logger, "METRICS_ADDRESS", s.MetricsAddress, &s.temporal)
	if err != nil {
		return err
	}
	stopTracing, err := s.tracing.Start(ctx, s.logger, "scrapehaul-starter", &s.temporal)
	if err != nil {
		return err
	}
	defer stopTracing()
	temporal, err := client.NewLazyClient(s.temporal)
	if err != nil {
		return fmt.Errorf("preparing the Temporal client for %s: %w", s.temporal.HostPort, err)
	}
	defer temporal.Close()
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New() // without gin's logger, which would log the token
	engine.RemoveExtraSlash = true
	engine.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, problem any) {
		s.logger.Error("Panic while serving", "path", c.Request.URL.Path, "panic", fmt.Sprint(problem))
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	s.webhook.NoRoute = engine.NoRoute
	s.webhook.Client, s.webhook.CurrentSettings, s.webhook.MetricsHandler = temporal, s.settings.get, s.temporal.MetricsHandler
	err = webhook.Register(engine, s.webhook)
	if err != nil {
		return err
	}
	shutPage, err := s.statusPageFlags.register(engine, temporal, s.temporal.Namespace, s.logger)
	if err != nil {
		return err
	}
	defer shutPage()
	program.RegisterHealth(engine, s.logger, program.NeedTemporal(temporal, s.temporal.Namespace), program.Need{
		Name: "The schedule " + workflows.ReconcileScheduleID, Reach: func(ctx context.Context) error { _, err := s.settings.get(ctx); return err },
	})
	defer s.logger.Info("Starter stopped")
	return together(ctx,
		func(ctx context.Context) error { return s.settings.keep(ctx, temporal) },
		func(ctx context.Context) error {
			return program.Serve(ctx, s.logger, "LISTEN_ADDRESS", s.ListenAddress, engine, func(address net.Addr) {
				s.logger.Info("Starter serving", "address", address.String(), "path", webhook.Path,
					"temporal", s.temporal.HostPort, "namespace", s.temporal.Namespace, "task_queue", s.webhook.TaskQueue)
			})
		},
		func(ctx context.Context) error { // apart from the webhook, which is public
			return metrics.Serve(ctx, "Serving metrics", temporal, func(gin.IRouter) {})
		})
}

// together runs all parts. The first one to fail ends the others.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var running sync.WaitGroup
	failed := make(chan error, len(parts))
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil {
				failed <- err
				end()
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed // nil if none failed
}
