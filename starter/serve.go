package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/process"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// webhookServer is the HTTP server with its settings, all of them valid.
type webhookServer struct {
	logger        *slog.Logger
	temporal      client.Options
	listenAddress string
	tokens        []string
	taskQueue     string
	settings      workflows.Settings
}

// run serves until ctx ends. It starts without Temporal too: notifications are
// answered with 503 until it is there.
func (s *webhookServer) run(ctx context.Context) error {
	temporal, err := client.NewLazyClient(s.temporal)
	if err != nil {
		return fmt.Errorf("preparing the Temporal client for %s: %w", s.temporal.HostPort, err)
	}
	defer temporal.Close()
	handler, err := webhook.New(webhook.Options{
		Client: temporal, Tokens: s.tokens, TaskQueue: s.taskQueue, Settings: s.settings, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New() // without gin's logger, which would log the token
	engine.Use(gin.CustomRecoveryWithWriter(nil, func(c *gin.Context, problem any) {
		s.logger.Error("Panic while serving", "path", c.Request.URL.Path, "panic", fmt.Sprint(problem))
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	handler.Register(engine)
	process.RegisterHealth(engine, s.logger, process.NeedTemporal(temporal))
	defer s.logger.Info("Starter stopped")
	return process.Serve(ctx, s.listenAddress, engine, func(address net.Addr) {
		s.logger.Info("Starter serving", "address", address.String(), "path", webhook.Path,
			"temporal", s.temporal.HostPort, "namespace", s.temporal.Namespace, "task_queue", s.taskQueue)
	})
}
