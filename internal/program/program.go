// Package program is shared by the worker and the starter: settings, exit codes, logs, and
// connections to Temporal and PostgreSQL.
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
	ExitSettings  = 2 // invalid arguments or settings; nothing was started
	ExitAttention = 3 // success, and an import needs attention
)

// ErrNeedsAttention ends a process with ExitAttention. Its output says what needs
// attention.
var ErrNeedsAttention = errors.New("an import needs attention")

// Streams are a process's standard output and standard error. Logs go to Err.
type Streams struct {
	Out, Err io.Writer
}

// Logger returns the process's logger, which writes JSON lines to standard error. Lines
// about an import have scrapingjob_id and run_id.
func (s Streams) Logger() *slog.Logger {
	return slog.New(&importHandler{Handler: slog.NewJSONHandler(s.Err, nil)})
}

var settings = workflows.DefaultSettings()

// defaults are the values that help texts and flags refer to.
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

// Main parses the process's arguments into cli, a struct of kong commands whose Run methods
// take a context.Context and Streams, runs the chosen command until it ends or SIGINT or
// SIGTERM cancels its context, and returns the exit code.
func Main(name, description string, cli any, args []string, streams Streams) int {
	name = calledAs(name, os.Args[0])
	fail := func(code int, err error) int {
		fmt.Fprintf(streams.Err, "%s: %s\n", name, Commands(err.Error()))
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
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills the process
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
