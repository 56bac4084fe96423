// Package localservers starts the servers of the demo and the benchmark on this machine and
// stops them together.
package localservers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Servers are the started servers.
type Servers struct {
	Progress func(string) // called with what is being started
	Log      io.Writer    // receives the servers' logs
	// Dir and LogPath are set by [Run].
	Dir, LogPath string

	stops []func() error // in the order of the starts
}

// OnStop adds a function for [Servers.Stop] to call, last added first.
func (s *Servers) OnStop(stop func() error) { s.stops = append(s.stops, stop) }

// Stop stops all servers, last started first.
func (s *Servers) Stop() error {
	var problems []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		problems = append(problems, s.stops[i]())
	}
	s.stops = nil
	return errors.Join(problems...)
}

// Database returns an empty database whose name starts with prefix, and its URL, on a
// PostgreSQL server of its own with the durability settings of production. It never uses the
// one that DATABASE_URL names, which may be in production.
func (s *Servers) Database(ctx context.Context, prefix string) (db *sqlx.DB, databaseURL string, err error) {
	s.Progress("Starting PostgreSQL")
	server, err := postgresserver.Start(ctx, postgresserver.Options{OwnCluster: true, Progress: s.Progress, Log: s.Log})
	if err != nil {
		return nil, "", err
	}
	s.OnStop(server.Stop)
	databaseURL, _, err = server.CreateDatabase(ctx, prefix) // dropped by Stop
	if err != nil {
		return nil, "", err
	}
	if db, err = postgres.Open(databaseURL); err != nil {
		return nil, "", err
	}
	s.OnStop(db.Close)
	return db, databaseURL, nil
}

// Temporal starts a Temporal server, with or without its web UI.
func (s *Servers) Temporal(ctx context.Context, ui bool) (*temporalserver.Server, error) {
	text := "Starting Temporal"
	if ui {
		text += " with its web UI"
	}
	s.Progress(text)
	server, err := temporalserver.Start(ctx, temporalserver.Options{UI: ui, Progress: s.Progress, Log: s.Log})
	if err != nil {
		return nil, err
	}
	s.OnStop(server.Stop)
	return server, nil
}

// Serve serves HTTP on a free port and returns the URL, without a trailing slash.
func (s *Servers) Serve(handler http.Handler) (url string) {
	server := httptest.NewServer(handler)
	s.OnStop(func() error {
		server.Close()
		return nil
	})
	return server.URL
}

// Worker starts a worker on a spool folder. It is stopped with the others, unless it has
// already ended.
func (s *Servers) Worker(programs builtprograms.Programs, env builtprograms.Environment, spool string) (*childprocess.Process, error) {
	worker, err := programs.StartWorker(env, spool)
	if err != nil {
		return nil, err
	}
	s.OnStop(func() error {
		select {
		case <-worker.Done():
			return nil
		default:
			return worker.Stop()
		}
	})
	return worker, nil
}

// Starter starts a starter and points the cloud's notifications to it.
func (s *Servers) Starter(programs builtprograms.Programs, env builtprograms.Environment, cloud *webscrapertest.Cloud) (webhookURL string, err error) {
	starter, webhookURL, err := programs.StartStarter(env)
	if err != nil {
		return "", err
	}
	s.OnStop(starter.Stop)
	cloud.SetWebhookURL(webhookURL)
	return webhookURL, nil
}
