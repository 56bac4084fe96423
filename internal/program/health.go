package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// HealthTimeout limits a health check.
const HealthTimeout = 5 * time.Second

// Need is a dependency that a process cannot run without.
type Need struct {
	Name  string // for display: "Temporal"
	Reach func(context.Context) error
}

// NeedTemporal returns the need that the Temporal namespace answers. gRPC's health service
// does not cover the namespace, and Temporal Cloud refuses it to API keys.
func NeedTemporal(temporal client.Client, namespace string) Need {
	return Need{Name: "Temporal", Reach: func(ctx context.Context) error {
		_, err := temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		return err
	}}
}

// RegisterHealth adds /healthz, which answers while the process is alive, and /readyz,
// which answers 503 if a need cannot be reached.
func RegisterHealth(router gin.IRouter, logger *slog.Logger, needs ...Need) {
	router.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	router.GET("/readyz", func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), HealthTimeout)
		defer cancel()
		for _, need := range needs {
			if err := need.Reach(ctx); err != nil {
				logger.Warn("Not ready", "error", fmt.Errorf("reaching %s: %w", need.Name, err))
				c.String(http.StatusServiceUnavailable, need.Name+" cannot be reached\n")
				return
			}
		}
		c.String(http.StatusOK, "ok\n")
	})
}

// Serve runs an HTTP server at address until ctx ends, then finishes requests in progress.
// setting names the address's setting in errors. ready is called with the actual address.
// The server logs its problems to logger.
func Serve(ctx context.Context, logger *slog.Logger, setting, address string, handler http.Handler, ready func(net.Addr)) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening at %s: %w", setting, err)
	}
	server := &http.Server{
		Handler:           handler,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ready(listener.Addr())
	stopped := make(chan error, 1)
	cancelShutdown := context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(stopping)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		cancelShutdown()
		return fmt.Errorf("serving HTTP: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stopping the HTTP server: %w", err)
	}
	return nil
}

// CheckHealth requests path from the process that listens at address, and fails unless it
// answers 200. A container's health check runs it.
func CheckHealth(ctx context.Context, address, path string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address to check is %q: want host:port or :port", address)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1" // a minimal image cannot look up localhost
	}
	ctx, cancel := context.WithTimeout(ctx, HealthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", request.URL.Path, answer.Status)
	}
	return nil
}
