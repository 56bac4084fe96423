package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	apiToken     = "bench-api-token"
	webhookToken = "bench-webhook-token"
)

// stage is what one part is measured on: servers of its own, started when they
// are asked for and stopped with the part, so that no part meets the leftovers
// of another.
type stage struct {
	sizes
	dir   string // for data, spools and programs
	log   io.Writer
	told  io.Writer // of what takes long
	begun time.Time
	stops []func() error // in the order of the starts
}

func onStage(
	ctx context.Context, sizes sizes, dir string, log, told io.Writer, r *result, measure func(context.Context, *stage, *result) error,
) (err error) {
	s := &stage{sizes: sizes, dir: filepath.Join(dir, r.part), log: log, told: told, begun: time.Now()}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	defer func() {
		for i := len(s.stops) - 1; i >= 0; i-- {
			err = errors.Join(err, s.stops[i]())
		}
		err = errors.Join(err, os.RemoveAll(s.dir))
	}()
	return measure(ctx, s, r)
}

func (s *stage) onStop(stop func() error) { s.stops = append(s.stops, stop) }

// step says what is being done.
func (s *stage) step(text string) {
	fmt.Fprintf(s.told, "%6.1fs  %s\n", time.Since(s.begun).Seconds(), text)
}

// database is an empty database with schema scrapehaul. A server that we start
// has the durable settings of a production server.
func (s *stage) database(ctx context.Context) (db *sqlx.DB, databaseURL string, err error) {
	s.step("Starting PostgreSQL")
	server, err := postgresserver.Start(ctx, postgresserver.Options{Progress: s.step, Log: s.log})
	if err != nil {
		return nil, "", err
	}
	s.onStop(server.Stop)
	databaseURL, _, err = server.CreateDatabase(ctx, "scrapehaul_bench") // dropped by Stop
	if err != nil {
		return nil, "", err
	}
	if db, err = postgres.Open(databaseURL); err != nil {
		return nil, "", err
	}
	s.onStop(db.Close)
	if _, err := postgres.Migrate(ctx, db); err != nil {
		return nil, "", err
	}
	return db, databaseURL, nil
}

// emptyTables gives everything that is measured on one database the same
// beginning.
func emptyTables(ctx context.Context, db *sqlx.DB) error {
	for _, statement := range []string{
		`TRUNCATE scrapehaul.import_records, scrapehaul.rejected_records, scrapehaul.skipped_records, scrapehaul.unmapped_records, scrapehaul.imports, scrapehaul.scraping_jobs`,
		`CHECKPOINT`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	return nil
}

func (s *stage) temporal(ctx context.Context) (*temporalserver.Server, error) {
	s.step("Starting Temporal")
	server, err := temporalserver.Start(ctx, temporalserver.Options{Progress: s.step, Log: s.log})
	if err != nil {
		return nil, err
	}
	s.onStop(server.Stop)
	return server, nil
}

// cloud serves a stand-in without a rate limit and without compression, which
// on one machine would be measured too.
func (s *stage) cloud(ctx context.Context) (cloud *webscrapertest.Cloud, baseURI string, err error) {
	cloud = webscrapertest.New(webscrapertest.Options{Tokens: []string{apiToken}, NoRateLimit: true, NoGzip: true})
	url, err := s.serve(ctx, cloud)
	return cloud, url + webscrapertest.BasePath, err
}

// serve serves HTTP on a free port until the part ends.
func (s *stage) serve(ctx context.Context, handler http.Handler) (url string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	s.onStop(server.Close)
	return "http://" + listener.Addr().String(), nil
}

// system is all of scrapehaul, but for a worker.
type system struct {
	*stage
	temporal *temporalserver.Server
	cloud    *webscrapertest.Cloud
	db       *sqlx.DB
	programs builtprograms.Programs
	env      builtprograms.Environment
	spool    string
}

// system starts the starter, and all that it and a worker need.
func (s *stage) system(ctx context.Context) (*system, error) {
	sys := &system{stage: s, spool: filepath.Join(s.dir, "spool")}
	var err error
	var databaseURL, baseURI string
	s.step("Building the worker and the starter")
	if sys.programs, err = builtprograms.Build(ctx, s.dir); err != nil {
		return nil, err
	}
	if sys.db, databaseURL, err = s.database(ctx); err != nil {
		return nil, err
	}
	if sys.temporal, err = s.temporal(ctx); err != nil {
		return nil, err
	}
	if sys.cloud, baseURI, err = s.cloud(ctx); err != nil {
		return nil, err
	}
	sys.env = builtprograms.Environment{
		TemporalAddress:   sys.temporal.HostPort,
		TemporalNamespace: sys.temporal.Namespace,
		DatabaseURL:       databaseURL,
		APIBaseURI:        baseURI,
		APIToken:          apiToken,
		WebhookToken:      webhookToken,
		Settings: map[string]string{
			"HOLD_BEFORE_DELETE":       "0",
			"RECONCILE_EVERY":          "0",
			"API_CALLS_PER_15_MINUTES": "1000000", // the pace of the real API is not what is measured
		},
		Log: s.log,
	}
	starter, webhookURL, err := sys.programs.StartStarter(sys.env)
	if err != nil {
		return nil, err
	}
	s.onStop(starter.Stop)
	sys.cloud.SetWebhookURL(webhookURL)
	return sys, nil
}

// startWorker starts a worker that ends with the part, unless it has ended
// before. It reaches Temporal at the address.
func (s *system) startWorker(temporalAddress string) (*childprocess.Process, error) {
	return s.startWorkerOn(temporalAddress, s.spool)
}

// startWorkerOn starts one on another spool.
func (s *system) startWorkerOn(temporalAddress, spool string) (*childprocess.Process, error) {
	env := s.env
	env.TemporalAddress = temporalAddress
	worker, err := s.programs.StartWorker(env, spool)
	if err != nil {
		return nil, err
	}
	s.onStop(func() error {
		select {
		case <-worker.Done():
			return nil
		default:
			return worker.Stop()
		}
	})
	return worker, nil
}
