package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// webhookServer is the HTTP server with its settings, all of them valid.
type webhookServer struct {
	logger          *slog.Logger
	temporal        client.Options
	listenAddress   string
	tokens          []string
	taskQueue       string
	signatureSecret string
	settings        workflows.Settings
	reconcileEvery  time.Duration
	statusPage      statusPageFlags
	metricsAddress  string
	tracing         program.Tracing
	// searchAttributes is set when the namespace is known to have them.
	searchAttributes atomic.Bool
}

// run serves until ctx ends. It starts without Temporal too: notifications are
// answered with 503 until it is there.
func (s *webhookServer) run(ctx context.Context) error {
	metrics, err := s.prepareMetrics()
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
	engine.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, problem any) {
		s.logger.Error("Panic while serving", "path", c.Request.URL.Path, "panic", fmt.Sprint(problem))
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	err = webhook.Register(engine, webhook.Options{
		Client: temporal, Tokens: s.tokens, SignatureSecret: s.signatureSecret,
		TaskQueue: s.taskQueue, Settings: s.settings, SearchAttributes: s.searchAttributes.Load,
		Logger: s.logger, MetricsHandler: s.temporal.MetricsHandler,
	})
	if err != nil {
		return err
	}
	shutPage, err := s.statusPage.register(engine, temporal, s.temporal.Namespace, s.taskQueue, s.logger)
	if err != nil {
		return err
	}
	defer shutPage()
	program.RegisterHealth(engine, s.logger, program.NeedTemporal(temporal))
	ctx, cancel := context.WithCancel(ctx)
	var scheduling sync.WaitGroup
	scheduling.Go(func() { s.prepareNamespace(ctx, temporal) })
	defer scheduling.Wait()
	defer cancel()
	defer s.logger.Info("Starter stopped")
	serving := make(chan error, 2)
	go func() {
		serving <- program.Serve(ctx, s.logger, s.listenAddress, engine, func(address net.Addr) {
			s.logger.Info("Starter serving", "address", address.String(), "path", webhook.Path,
				"temporal", s.temporal.HostPort, "namespace", s.temporal.Namespace, "task_queue", s.taskQueue)
		})
	}()
	go func() { serving <- s.serveMetrics(ctx, temporal, metrics) }()
	err = <-serving
	cancel() // the other one's turn
	return errors.Join(err, <-serving)
}

// prepareMetrics returns nil when nobody can ask for them.
func (s *webhookServer) prepareMetrics() (*program.Metrics, error) {
	if s.metricsAddress == "" {
		return nil, nil
	}
	metrics, err := program.NewMetrics(s.logger)
	if err != nil {
		return nil, err
	}
	s.temporal.MetricsHandler = metrics.Handler()
	return metrics, nil
}

// serveMetrics answers /metrics until ctx ends, if it is to: not where the
// webhook is, which is open to the world.
func (s *webhookServer) serveMetrics(ctx context.Context, temporal client.Client, metrics *program.Metrics) error {
	if metrics == nil {
		<-ctx.Done()
		return nil
	}
	metrics.WatchOpenImports(temporal, s.taskQueue)
	engine := gin.New()
	metrics.Register(engine)
	return program.Serve(ctx, s.logger, s.metricsAddress, engine, func(address net.Addr) {
		s.logger.Info("Metrics served", "address", address.String())
	})
}

// prepareAgainAfter is the pause between two attempts to reach Temporal.
const prepareAgainAfter = 5 * time.Second

// prepareNamespace learns whether the namespace has the search attributes, and
// puts up the schedule of the reconciliation, or takes it down, as soon as
// Temporal can be reached.
func (s *webhookServer) prepareNamespace(ctx context.Context, temporal client.Client) {
	for told := false; ; told = true {
		err := s.learnSearchAttributes(ctx, temporal)
		if err == nil {
			err = s.schedule(ctx, temporal.ScheduleClient())
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !told {
			s.logger.Warn("The reconciliation is not scheduled yet: trying on", "error", err)
		}
		select {
		case <-time.After(prepareAgainAfter):
		case <-ctx.Done():
			return
		}
	}
}

// learnSearchAttributes takes a Temporal that does not tell as one without them.
func (s *webhookServer) learnSearchAttributes(ctx context.Context, temporal client.Client) error {
	registered, err := workflows.SearchAttributesRegistered(ctx, temporal, s.temporal.Namespace)
	if _, unreachable := errors.AsType[*serviceerror.Unavailable](err); unreachable || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	s.searchAttributes.Store(registered)
	if !registered {
		s.logger.Info("The namespace does not have the search attributes of imports: to find them by state or sitemap, "+
			"run starter setup, and start this again", "namespace", s.temporal.Namespace)
	}
	return nil
}

func (s *webhookServer) schedule(ctx context.Context, schedules client.ScheduleClient) error {
	settings := s.settings
	settings.SearchAttributes = s.searchAttributes.Load()
	if err := workflows.ScheduleReconciliation(ctx, schedules, s.taskQueue, s.reconcileEvery, settings); err != nil || s.reconcileEvery == 0 {
		return err
	}
	s.logger.Info("Reconciliation scheduled", "schedule", workflows.ReconcileScheduleID, "every", s.reconcileEvery.String())
	return nil
}
