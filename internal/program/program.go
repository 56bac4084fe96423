// Package program holds what the two programs, worker and starter, share: how
// they read their settings, end, log, and reach Temporal and PostgreSQL.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Exit codes of both processes.
const (
	ExitOK        = 0
	ExitFailed    = 1
	ExitSettings  = 2 // wrong arguments or settings; nothing has been started
	ExitAttention = 3 // all went well, and what was found needs a person
)

// ErrNeedsAttention ends a process with ExitAttention. What it has written says
// what needs attention.
var ErrNeedsAttention = errors.New("a person is needed")

// Streams are a process's standard output and error. Logs go to the latter.
type Streams struct {
	Out, Err io.Writer
}

// Logger returns the process's logger: JSON lines on standard error. Those about
// an import have scrapingjob_id and run_id.
func (s Streams) Logger() *slog.Logger {
	return slog.New(&importHandler{Handler: slog.NewJSONHandler(s.Err, nil)})
}

var settings = workflows.DefaultSettings()

// defaults are the values that the commands' flags refer to.
var defaults = kong.Vars{
	"base_uri":          webscraper.DefaultBaseURI,
	"task_queue":        workflows.DefaultTaskQueue,
	"hold":              settings.HoldBeforeDelete,
	"source_format":     settings.SourceFormat,
	"batch_records":     strconv.Itoa(settings.BatchRecords),
	"max_record_bytes":  strconv.Itoa(settings.MaxRecordBytes),
	"attention_timeout": settings.AttentionTimeout,
	"worker_gone_after": settings.WorkerGoneAfter,
	"heartbeat_timeout": settings.HeartbeatTimeout,
	"reconcile_every":   ShortDuration(workflows.DefaultInstallation().Every),
}

// Main parses the process's arguments into cli, a struct of kong commands whose
// Run methods take a context.Context and Streams, runs the chosen one until
// SIGINT or SIGTERM, and returns the exit code.
func Main(name, description string, cli any, args []string, streams Streams) int {
	name = calledAs(name, os.Args[0])
	fail := func(code int, err error) int {
		fmt.Fprintf(streams.Err, "%s: %v\n", name, err)
		return code
	}
	ended := false // by --help or --version
	parser, err := kong.New(cli, kong.Name(name), kong.Description(description), kong.Exit(func(int) { ended = true }),
		kong.Writers(streams.Out, streams.Err), defaults, kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return fail(ExitFailed, err)
	}
	command, err := parser.Parse(args)
	if ended {
		return ExitOK
	}
	if wrong, ok := errors.AsType[*kong.ParseError](err); ok && len(args) == 0 {
		parser.Stdout = streams.Err
		err = errors.Join(wrong.Context.PrintUsage(false), err)
	}
	if err != nil {
		return fail(ExitSettings, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(streams)
	err = command.Run()
	if settings, ok := errors.AsType[*SettingsError](err); ok {
		return fail(ExitSettings, settings)
	}
	if errors.Is(err, ErrNeedsAttention) {
		return ExitAttention
	}
	if err != nil {
		return fail(ExitFailed, err)
	}
	return ExitOK
}
