package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// activityCommand runs one activity of the worker by itself. It is its own
// process, as the other contenders are, so that its memory can be measured.
type activityCommand struct {
	Name     string `arg:""`
	SpoolDir string `required:""`
	BaseURI  string `default:"${base_uri}"`
	Mappings string `type:"existingfile"`
	Download string `help:"File that the process downloads itself before the activity, as a worker does. After that it empties the tables."`
	KeepRows bool   `help:"Do not empty the mapped tables."`
}

// activityOutcome is what the process prints.
type activityOutcome struct {
	Seconds    float64 `json:"seconds"` // of the activity alone
	PeakRSSMiB float64 `json:"peak_rss_mib"`
}

// connectionsPerImport is the plugin's default.
const connectionsPerImport = 2

// Run reads the activity's inputs from standard input, and reports the last run: the earlier ones
// warm up connections and memory.
func (c *activityCommand) Run(_ context.Context, streams program.Streams) (err error) {
	if c.Download != "" {
		files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, c.Download) }))
		defer files.Close()
		c.BaseURI = files.URL
	}
	cloud, err := webscraper.NewClient(apiToken, webscraper.WithBaseURI(c.BaseURI))
	if err != nil {
		return err
	}
	db, err := postgres.Open(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	spool, err := activities.OpenSpool(c.SpoolDir, 0)
	if err != nil {
		return err
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewJSONHandler(streams.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	env := suite.NewTestActivityEnvironment()
	var mappings *mapping.Mappings
	if c.Mappings != "" {
		if mappings, err = mapping.ReadFile(c.Mappings); err != nil {
			return err
		}
		if err := postgres.PrepareMappedTables(context.Background(), db, mappings); err != nil {
			return err
		}
	}
	store := postgres.NewStore(db, mappings)
	ledger := postgres.NewLedger(db, sink.DefaultAccount, lifted.calls)
	steps := &activities.Activities{
		Accounts: map[string]*activities.Account{sink.DefaultAccount: activities.NewAccount(sink.DefaultAccount, cloud, ledger)},
		Sink:     store, Spool: spool, ImportConnections: connectionsPerImport,
	}
	steps.Register(env)

	// A worker hashes its own program, among others, before its first activity.
	if _, err := env.ExecuteActivity(steps.RemoveFile, activities.RemoveFileInput{File: "none"}); err != nil {
		return err
	}
	run := func(input any) (took time.Duration, err error) {
		if c.Download != "" {
			download := activities.DownloadScrapingJobInput{ScrapingJobID: 1, File: filepath.Base(c.Download)}
			if _, err := env.ExecuteActivity(steps.DownloadScrapingJob, download); err != nil {
				return 0, err
			}
			// The download must not take the memory that this frees: on a virtual machine
			// new memory is slow, and no other contender pays for it.
			if err := c.empty(db, mappings); err != nil {
				return 0, err
			}
		}
		start := time.Now()
		_, err = env.ExecuteActivity(c.Name, input)
		return time.Since(start), err
	}
	var took time.Duration
	for inputs := json.NewDecoder(os.Stdin); ; {
		var input json.RawMessage
		if err := inputs.Decode(&input); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if took, err = run(input); err != nil {
			return err
		}
	}
	return json.NewEncoder(streams.Out).Encode(activityOutcome{Seconds: took.Seconds(), PeakRSSMiB: childprocess.PeakRSS(os.Getpid())})
}

func (c *activityCommand) empty(db *sqlx.DB, mappings *mapping.Mappings) error {
	var mapped []string
	for _, m := range mappings.All() {
		if !c.KeepRows {
			mapped = append(mapped, m.Table.String())
		}
	}
	return emptyTables(context.Background(), db, mapped...)
}

// runActivity runs the activity with its inputs, one after the other, in its own process.
func runActivity(ctx context.Context, databaseURL, name string, inputs []any, flags ...string) (outcome activityOutcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return outcome, err
	}
	var encoded bytes.Buffer
	for _, input := range inputs {
		if err := json.NewEncoder(&encoded).Encode(input); err != nil {
			return outcome, err
		}
	}
	child := exec.CommandContext(ctx, self, append([]string{"activity", name}, flags...)...)
	child.Env = append(os.Environ(), "DATABASE_URL="+databaseURL)
	child.Stdin = &encoded
	output, err := runCommandOutput(child)
	if err != nil {
		return outcome, err
	}
	if err := json.Unmarshal(output, &outcome); err != nil {
		return outcome, fmt.Errorf("the outcome of %s: %w", name, err)
	}
	return outcome, nil
}

// runCommandOutput returns what a program writes to standard output; when it
// fails, the error has what it wrote to standard error.
func runCommandOutput(command *exec.Cmd) ([]byte, error) {
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s: %w: %s", command.Path, err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command.Path, err)
	}
	return output, nil
}
