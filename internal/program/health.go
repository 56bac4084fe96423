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

// HealthTimeout bounds one look at a process's health.
const HealthTimeout = 5 * time.Second

// Need is something that a process cannot work without.
type Need struct {
	Name  string // for people: "Temporal"
	Reach func(context.Context) error
}

// NeedTemporal is the need of both processes: that the namespace answers. gRPC's own
// health service says nothing of it, and Temporal Cloud refuses it to API keys.
func NeedTemporal(temporal client.Client, namespace string) Need {
	return Need{Name: "Temporal", Reach: func(ctx context.Context) error {
		_, err := temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		return err
	}}
}

// RegisterHealth adds /healthz, which answers as long as the process lives, and
// /readyz, which answers 503 when one of its needs cannot be reached.
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

// Serve runs the HTTP server on address until ctx ends, then lets requests
// under way finish. setting is the name of the one that has the address. ready is called
// with the address it listens on; the server's own problems go to logger.
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
	goOn := context.AfterFunc(ctx, func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(stopping)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		goOn()
		return fmt.Errorf("serving HTTP: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("stopping the HTTP server: %w", err)
	}
	return nil
}

// CheckHealth asks the process that listens on address whether it is well; it
// is what a container's health check runs.
func CheckHealth(ctx context.Context, address, path string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address to check is %q: want host:port or :port", address)
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
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
