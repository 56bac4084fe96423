package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/localservers"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	apiToken       = "bench-api-token"
	databasePrefix = "scrapehaul_bench"
)

// apiLimit is the limit of the API's calls, for the fake and the programs.
// Zero means the service's own: 200 calls, 15 minutes.
type apiLimit struct {
	calls  int
	window time.Duration
}

// lifted is for what needs more calls than the service allows, which its table
// then says: limitIsLifted.
var lifted = apiLimit{calls: 1_000_000}

const limitIsLifted = "\nThe API's limit is lifted: these jobs need more than its 200 calls in 15 minutes."

// shortenWindow has the ledger count in windows of another length.
const shortenWindow = `
INSERT INTO scrapehaul.api_budgets (account, window_length) VALUES ('default', make_interval(secs => $1))
ON CONFLICT (account) DO UPDATE SET window_length = excluded.window_length`

// stage is what one part is measured on: its own servers, started on first use
// and stopped with the part, so that no part sees another's leftovers.
type stage struct {
	sizes
	*localservers.Servers
	dir string // for data, spools and programs

	programs func() (builtprograms.Programs, error) // builds them when it is called first
}

// apart measures something on another stage, in a folder of this one's.
func (s *stage) apart(name string, measure func(*stage) error) (err error) {
	own := *s
	own.dir = filepath.Join(s.dir, name)
	own.Servers = &localservers.Servers{Progress: s.Progress, Log: s.Log}
	if err := os.Mkdir(own.dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Stop(), os.RemoveAll(own.dir)) }()
	return measure(&own)
}

// step says what is being done.
func (s *stage) step(text string) { s.Progress(text) }

// emptyTables gives everything that is measured on one database the same
// start; it empties mapped tables too.
func emptyTables(ctx context.Context, db *sqlx.DB, mapped ...string) error {
	for _, statement := range []string{
		strings.Join(append([]string{`TRUNCATE scrapehaul.import_records, scrapehaul.rejected_records, scrapehaul.skipped_records, scrapehaul.unmapped_records, scrapehaul.imports, scrapehaul.scraping_jobs`}, mapped...), ", "),
		`CHECKPOINT`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	return nil
}

// cloud is a fake without compression, whose cost would be measured too on one machine.
func cloud(limit apiLimit) *webscrapertest.Cloud {
	return webscrapertest.New(webscrapertest.Options{
		Tokens: []string{apiToken}, NoGzip: true, RateLimitCalls: limit.calls, RateLimitWindow: limit.window,
	})
}

// system is all of scrapehaul, but for a worker.
type system struct {
	*stage
	localservers.System
	spool string
	// workers are those whose CPU time counts.
	workers []*childprocess.Process
}

// noReconciliation is a setting for what a reconciliation at its quarter of an
// hour would disturb.
var noReconciliation = map[string]string{"RECONCILE_EVERY": "0"}

// system starts the starter, and all that it and a worker need. Nothing is held
// before it is deleted; other settings have their defaults, unless they are given.
func (s *stage) system(ctx context.Context, limit apiLimit, settings map[string]string) (*system, error) {
	built, err := s.programs()
	if err != nil {
		return nil, err
	}
	all := map[string]string{"HOLD_BEFORE_DELETE": "0"}
	if limit.calls != 0 {
		all["API_CALLS_PER_15_MINUTES"] = strconv.Itoa(limit.calls)
	}
	maps.Copy(all, settings)
	started, err := s.System(ctx, localservers.SystemOptions{
		Programs: built, Database: databasePrefix, Cloud: cloud(limit), APIToken: apiToken, Settings: all,
	})
	if err != nil {
		return nil, err
	}
	if limit.window != 0 {
		if _, err := started.DB.ExecContext(ctx, shortenWindow, limit.window.Seconds()); err != nil {
			return nil, fmt.Errorf("shortening the window: %w", err)
		}
	}
	return &system{stage: s, System: started, spool: filepath.Join(s.dir, "spool")}, nil
}

func (s *system) startWorker(spool string) (*childprocess.Process, error) {
	worker, err := s.Worker(s.Programs, s.Env, spool)
	if err == nil {
		s.workers = append(s.workers, worker)
	}
	return worker, err
}
