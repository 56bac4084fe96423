package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type commands struct {
	Serve       serveCommand       `cmd:"" help:"Receive notifications from Web Scraper Cloud until SIGTERM."`
	Status      statusCommand      `cmd:"" help:"Show an import. On a terminal, follow it until it ends or waits."`
	List        listCommand        `cmd:"" help:"List open imports."`
	Signal      signalCommand      `cmd:"" help:"Send a signal to an import: accept, delete-now, keep, abandon or reimport."`
	Run         runCommand         `cmd:"" help:"Scrape a sitemap and import its records."`
	Import      importCommand      `cmd:"" help:"Import scraping jobs. If the current content is published already, the job is only held again, then deleted in the cloud (HOLD_BEFORE_DELETE)."`
	Reimport    reimportCommand    `cmd:"" help:"Download and import scraping jobs again, replacing their records."`
	Reconcile   reconcileCommand   `cmd:"" help:"Import every scraping job that has ended and whose current content isn't imported yet."`
	Backfill    backfillCommand    `cmd:"" help:"Fill a sitemap's mapped table from its published records."`
	Jobs        jobsCommand        `cmd:"" help:"List the accounts' scraping jobs, and whether and when each was imported."`
	Diff        diffCommand        `cmd:"" help:"Show what changed between two jobs of a sitemap."`
	Account     accountCommand     `cmd:"" help:"Show the Web Scraper Cloud accounts and their remaining API budgets."`
	Setup       setupCommand       `cmd:"" help:"Register search attributes in Temporal, and create the reconciliation schedule or change its settings."`
	Doctor      doctorCommand      `cmd:"" help:"Check connections, permissions, clocks, workers, and the settings that it takes, and say how to fix what is wrong."`
	Healthcheck healthcheckCommand `cmd:"" help:"Check the health of the starter at LISTEN_ADDRESS."`

	Version program.VersionFlag `help:"Print the version and exit."`
}

type serveCommand struct {
	importFlags
	filterFlags
	scheduleFlags
	statusPageFlags
	ListenAddress string `env:"LISTEN_ADDRESS" default:":8080" placeholder:"HOST:PORT" help:"Address to listen on. Default: ${default}."`
	webhookTokens
	SignatureSecret string `name:"webhook-signature-secret" env:"WEBHOOK_SIGNATURE_SECRET" placeholder:"SECRET" help:"Also require an HMAC-SHA256 of the body with this secret, in the header Signature. Off unless set."`
	MetricsAddress  string `env:"METRICS_ADDRESS" placeholder:"HOST:PORT" help:"Address for /metrics, separate from the webhook. Off unless set."`

	refreshEvery time.Duration `kong:"-"` // how often to read the schedule's settings; 0: every minute
}

// Run validates all settings and serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, streams program.Streams) error {
	logger := streams.Logger()
	var s program.Settings
	s.Address("LISTEN_ADDRESS", c.ListenAddress)
	given := givenBy(c.importFlags, c.filterFlags, c.scheduleFlags)
	given.validate(&s)
	server := webhookServer{
		serveCommand: c,
		logger:       logger,
		webhook: webhook.Options{
			TokensOf: c.webhookTokens.of(&s, logger), SignatureSecret: c.SignatureSecret, TaskQueue: c.taskQueue(), Logger: logger,
		},
		temporal: s.Temporal(logger),
		tracing:  s.Tracing(),
	}
	if c.MetricsAddress != "" {
		s.Address("METRICS_ADDRESS", c.MetricsAddress)
	}
	c.statusPageFlags.validate(&s)
	s.Check(validate.SignatureSecret("WEBHOOK_SIGNATURE_SECRET", c.SignatureSecret))
	if err := s.Err(); err != nil {
		return err
	}
	given["TASK_QUEUE"] = server.webhook.TaskQueue // the starter serves no other
	server.settings = newCurrentSettings(server.temporal.Namespace, given, cmp.Or(c.refreshEvery, time.Minute), logger)
	return server.run(ctx)
}

type importCommand struct {
	importFlags
	Account string   `placeholder:"NAME" help:"Account that has the jobs. Default: the account of the job's published import, otherwise \"default\"."`
	IDs     []string `arg:"" name:"id" help:"Scraping job IDs."`
}

// Run starts the imports and prints the workflow of each.
func (c *importCommand) Run(ctx context.Context, streams program.Streams) error {
	return c.start(ctx, streams, func(t client.Client, id int64, i workflows.Installation) (client.WorkflowRun, error) {
		i.Settings.Filter = activities.Filter{} // the job is requested explicitly
		return workflows.Notify(ctx, t, i.TaskQueue, workflows.Notification{ScrapingJobID: id, Account: c.Account}, i.Settings)
	})
}

type reimportCommand struct{ importCommand }

// Run signals the re-imports and prints the workflow of each.
func (c *reimportCommand) Run(ctx context.Context, streams program.Streams) error {
	return c.start(ctx, streams, func(t client.Client, id int64, i workflows.Installation) (client.WorkflowRun, error) {
		return workflows.Reimport(ctx, t, i.TaskQueue, workflows.Notification{ScrapingJobID: id, Account: c.Account}, i.Settings)
	})
}

// installation connects to Temporal and returns the schedule's installation, overridden by
// what this command was given.
func (g given) installation(ctx context.Context, s *program.Settings, streams program.Streams) (_ client.Client, _ workflows.Installation, overridden []change, _ error) {
	var none workflows.Installation
	g.validate(s)
	options := s.Temporal(discard())
	if err := s.Err(); err != nil {
		return nil, none, nil, err
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return nil, none, nil, err
	}
	i, err := workflows.ReadInstallation(ctx, temporal, options.Namespace)
	if err != nil {
		temporal.Close()
		return nil, none, nil, err
	}
	if i == nil {
		fmt.Fprintf(streams.Err, program.Commands("the schedule %s does not exist yet (starter setup creates it): using defaults for settings not given here\n"), workflows.ReconcileScheduleID)
		i = new(workflows.DefaultInstallation())
		g.apply(i)
	} else {
		overridden = g.apply(i)
	}
	if missing, err := workflows.MissingSearchAttributes(ctx, temporal, options.Namespace); err == nil {
		i.Settings.UseSearchAttributes(missing)
	}
	return temporal, *i, overridden, nil
}

func printOverridden(out io.Writer, overridden []change) {
	for _, each := range overridden {
		fmt.Fprintf(out, "for this command only: %s is %s, not %s as in the schedule %s\n", each.name, each.to, each.from, workflows.ReconcileScheduleID)
	}
}

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to Temporal at %s: %w", options.HostPort, err)
	}
	return temporal, nil
}

// start calls one for each scraping job, and continues with the others when one fails.
func (c *importCommand) start(ctx context.Context, streams program.Streams,
	one func(client.Client, int64, workflows.Installation) (client.WorkflowRun, error),
) error {
	var s program.Settings
	var ids []int64
	checkAccount(&s, c.Account)
	for _, argument := range c.IDs {
		ids = append(ids, scrapingJobID(&s, argument))
	}
	temporal, installation, overridden, err := givenBy(c.importFlags).installation(ctx, &s, streams)
	if err != nil {
		return err
	}
	defer temporal.Close()
	printOnce := sync.OnceFunc(func() { printOverridden(streams.Err, overridden) })
	var failures []error
	for _, id := range ids {
		err := refuseIfOpen(ctx, temporal, id, overridden)
		if err == nil {
			printOnce()
			var run client.WorkflowRun
			if run, err = one(temporal, id, installation); err == nil {
				fmt.Fprintf(streams.Out, "scraping job %d: workflow %s, run %s\n", id, run.GetID(), run.GetRunID())
			}
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// refuseIfOpen returns an error if an open import would ignore the settings.
func refuseIfOpen(ctx context.Context, temporal client.Client, id int64, overridden []change) error {
	var ignored []string
	for _, each := range overridden {
		if each.name != "TASK_QUEUE" { // it is on its task queue already
			ignored = append(ignored, each.name)
		}
	}
	if len(ignored) == 0 {
		return nil
	}
	found, err := (&overview.Reader{Temporal: temporal}).Import(ctx, id)
	if errors.Is(err, overview.ErrNotFound) || err == nil && !found.Open {
		return nil
	}
	if err != nil {
		return err
	}
	names := strings.Join(ignored, " and ")
	return fmt.Errorf("scraping job %d: nothing was sent, as its import is open and keeps the %s that it started with: "+
		"%s shows the signals it takes; to send it without the new value, unset %[2]s or leave out the flag", id, names, program.Commands(fmt.Sprintf("starter status %d", id)))
}

func scrapingJobID(s *program.Settings, argument string) int64 {
	id, err := strconv.ParseInt(argument, 10, 64)
	if err != nil || id <= 0 {
		s.Problem("%q is not the ID of a scraping job: want a positive number", argument)
	}
	return id
}

type healthcheckCommand struct {
	ListenAddress string `env:"LISTEN_ADDRESS" default:":8080" help:"Address of the starter's /readyz."`
}

// Run fails unless the starter is ready.
func (c *healthcheckCommand) Run(ctx context.Context) error {
	return program.CheckHealth(ctx, c.ListenAddress, "/readyz")
}
