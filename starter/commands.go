package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type commands struct {
	Serve       serveCommand       `cmd:"" help:"Receive the notifications of Web Scraper Cloud until SIGTERM."`
	Status      statusCommand      `cmd:"" help:"Show an import, and on a terminal follow it until it ends or waits; without an ID, list the open ones."`
	List        listCommand        `cmd:"" help:"List the open imports."`
	Signal      signalCommand      `cmd:"" help:"Answer an import: accept, delete-now, keep, abandon or reimport."`
	Import      importCommand      `cmd:"" help:"Import scraping jobs, unless their content is imported already."`
	Reimport    reimportCommand    `cmd:"" help:"Download and import scraping jobs again, replacing their records."`
	Reconcile   reconcileCommand   `cmd:"" help:"Import all scraping jobs that have ended and are not imported as they are."`
	Jobs        jobsCommand        `cmd:"" help:"List the account's scraping jobs, and whether and when each was imported."`
	Account     accountCommand     `cmd:"" help:"Show the Web Scraper Cloud account and what is left of its API budget."`
	Setup       setupCommand       `cmd:"" help:"Register the search attributes in Temporal and put up the schedule of the reconciliation."`
	Doctor      doctorCommand      `cmd:"" help:"Check settings, connections, permissions, clocks and workers, and say what to do about what is wrong."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask the starter on LISTEN_ADDRESS whether it is well."`

	Completion program.CompletionCommand `cmd:"" help:"Print what a shell needs to complete the command line: source <(starter completion bash)."`
}

// scheduleFlags say how often the reconciliation runs.
type scheduleFlags struct {
	ReconcileEvery string `env:"RECONCILE_EVERY" default:"15m" help:"How often to look for jobs that no notification has told of; 0 for never. Default: ${default}."`
}

func (f *scheduleFlags) every(s *program.Settings) time.Duration {
	return s.Duration("RECONCILE_EVERY", f.ReconcileEvery, 0)
}

// importFlags are the settings of the imports that a command starts. They are
// text, so that all that is wrong is told at once.
type importFlags struct {
	TaskQueue         string `env:"TASK_QUEUE" default:"${task_queue}" help:"Task queue that the workers listen on. Default: ${default}."`
	HoldBeforeDelete  string `env:"HOLD_BEFORE_DELETE" default:"${hold}" help:"How long a job stays in the cloud after its verified import: a duration, 0 for none, or never. Default: ${default}."`
	SourceFormat      string `env:"SOURCE_FORMAT" default:"${source_format}" placeholder:"FORMAT" help:"Export to import from: json or csv. Default: ${default}."`
	SourceRaw         string `env:"SOURCE_RAW" default:"false" placeholder:"BOOL" help:"Import the export without the changes of the sitemap's parser: true or false. Default: ${default}."`
	BatchRecords      string `env:"BATCH_RECORDS" default:"${batch_records}" placeholder:"N" help:"Records committed at a time. Default: ${default}."`
	MaxRecordBytes    string `env:"MAX_RECORD_BYTES" default:"${max_record_bytes}" placeholder:"BYTES" help:"Size over which a record is rejected. Default: ${default}."`
	MaxRejected       string `env:"MAX_REJECTED" default:"0" placeholder:"N" help:"Rejected records up to which an import counts as complete. Default: ${default}."`
	MinRecordsPercent string `env:"MIN_RECORDS_PERCENT" default:"0" placeholder:"N" help:"Records that a finished job has to have, in percent of its sitemap's last, to be published without being asked about. Default: ${default}, any number."`
	AttentionTimeout  string `env:"ATTENTION_TIMEOUT" default:"${attention_timeout}" help:"How long an import that needs attention waits for a person before it fails. Default: ${default}."`
	WorkerGoneAfter   string `env:"WORKER_GONE_AFTER" default:"${worker_gone_after}" help:"How long the worker with the file may leave a step waiting before another worker begins again. Default: ${default}."`
	HeartbeatTimeout  string `env:"HEARTBEAT_TIMEOUT" default:"${heartbeat_timeout}" help:"How long a download or an import may be silent before another attempt takes over. Default: ${default}."`
}

func (f *importFlags) settings(s *program.Settings) workflows.Settings {
	const least = time.Second
	if f.HoldBeforeDelete != workflows.NeverDelete {
		if d, err := time.ParseDuration(f.HoldBeforeDelete); err != nil || d < 0 {
			s.Problem("HOLD_BEFORE_DELETE is %q: want a duration like 24h, 0, or never", f.HoldBeforeDelete)
		}
	}
	s.Duration("ATTENTION_TIMEOUT", f.AttentionTimeout, least)
	s.Duration("WORKER_GONE_AFTER", f.WorkerGoneAfter, least)
	s.Duration("HEARTBEAT_TIMEOUT", f.HeartbeatTimeout, least)
	s.Required("TASK_QUEUE", f.TaskQueue, "the same as the workers'")
	if f.SourceFormat != activities.FormatJSON && f.SourceFormat != activities.FormatCSV {
		s.Problem("SOURCE_FORMAT is %q: want json or csv", f.SourceFormat)
	}
	return workflows.Settings{
		HoldBeforeDelete:  f.HoldBeforeDelete,
		SourceFormat:      f.SourceFormat,
		SourceRaw:         s.Bool("SOURCE_RAW", f.SourceRaw),
		BatchRecords:      s.Int("BATCH_RECORDS", f.BatchRecords, 1, workflows.MaxBatchRecords),
		MaxRecordBytes:    s.Int("MAX_RECORD_BYTES", f.MaxRecordBytes, 1, workflows.MaxMaxRecordBytes),
		MaxRejected:       s.Int("MAX_REJECTED", f.MaxRejected, 0, math.MaxInt),
		MinRecordsPercent: s.Int("MIN_RECORDS_PERCENT", f.MinRecordsPercent, 0, 100),
		AttentionTimeout:  f.AttentionTimeout,
		WorkerGoneAfter:   f.WorkerGoneAfter,
		HeartbeatTimeout:  f.HeartbeatTimeout,
	}
}

// filterFlags say which jobs are imported without being asked for by hand.
type filterFlags struct {
	SitemapPrefix string   `name:"filter-sitemap-prefix" env:"FILTER_SITEMAP_PREFIX" placeholder:"PREFIX" help:"Only jobs of sitemaps whose name begins with it."`
	Tag           string   `name:"filter-tag" env:"FILTER_TAG" help:"Only jobs of sitemaps with this tag."`
	Statuses      []string `name:"filter-statuses" env:"FILTER_STATUSES" placeholder:"STATUS,…" help:"Only jobs that are finished, stopped or failed. Default: all that have ended."`
}

func (f *filterFlags) filter(s *program.Settings) activities.Filter {
	filter := activities.Filter{SitemapNamePrefix: f.SitemapPrefix, Tag: f.Tag}
	for _, status := range f.Statuses {
		filter.Statuses = append(filter.Statuses, strings.TrimSpace(status))
	}
	for _, problem := range filter.Validate() {
		s.Problem("FILTER_STATUSES: %v", problem)
	}
	return filter
}

type serveCommand struct {
	importFlags
	filterFlags
	scheduleFlags
	statusPageFlags
	ListenAddress   string `env:"LISTEN_ADDRESS" default:":8080" placeholder:"HOST:PORT" help:"Where to listen. Default: ${default}."`
	WebhookTokens   string `env:"WEBHOOK_TOKENS" placeholder:"TOKEN,…" help:"Secrets of which a notification's URL has to carry one: /webhooks/webscraper?token=SECRET."`
	SignatureSecret string `name:"webhook-signature-secret" env:"WEBHOOK_SIGNATURE_SECRET" placeholder:"SECRET" help:"Require an HMAC-SHA256 of the body by this secret in the header Signature too. Off unless set."`
	MetricsAddress  string `env:"METRICS_ADDRESS" placeholder:"HOST:PORT" help:"Serve /metrics there, apart from the webhook. Off unless set."`
}

// Run validates all settings and serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, streams program.Streams) error {
	logger := streams.Logger()
	var s program.Settings
	s.Address("LISTEN_ADDRESS", c.ListenAddress)
	server := webhookServer{
		logger:          logger,
		listenAddress:   c.ListenAddress,
		tokens:          c.tokens(&s),
		taskQueue:       c.TaskQueue,
		signatureSecret: c.SignatureSecret,
		settings:        c.settings(&s),
		reconcileEvery:  c.every(&s),
		temporal:        s.Temporal(logger),
		statusPage:      c.statusPageFlags,
		metricsAddress:  c.MetricsAddress,
		tracing:         s.Tracing(),
	}
	if c.MetricsAddress != "" {
		s.Address("METRICS_ADDRESS", c.MetricsAddress)
	}
	server.settings.Filter = c.filter(&s)
	c.statusPageFlags.validate(&s)
	if n := len(c.SignatureSecret); n > 0 && n < validate.MinSignatureSecret {
		s.Problem("WEBHOOK_SIGNATURE_SECRET is %d bytes long: want at least %d, or none to go without signatures", n, validate.MinSignatureSecret)
	}
	if err := s.Err(); err != nil {
		return err
	}
	return server.run(ctx)
}

func (c *serveCommand) tokens(s *program.Settings) []string {
	var tokens []string
	for token := range strings.SplitSeq(c.WebhookTokens, ",") {
		if token = strings.TrimSpace(token); token != "" {
			tokens = append(tokens, token)
		}
	}
	if len(tokens) == 0 {
		s.Problem("WEBHOOK_TOKENS is missing: a long random secret, or several with commas between; there is no default")
	}
	return tokens
}

type importCommand struct {
	importFlags
	IDs []string `arg:"" name:"id" help:"IDs of scraping jobs."`
}

// Run starts the imports and says which workflow has each.
func (c *importCommand) Run(ctx context.Context, streams program.Streams) error {
	return c.start(ctx, streams, c.IDs, func(t client.Client, id int64, settings workflows.Settings) (client.WorkflowRun, error) {
		return workflows.Notify(ctx, t, c.TaskQueue, workflows.Notification{ScrapingJobID: id}, settings)
	})
}

type reimportCommand struct {
	importFlags
	IDs []string `arg:"" name:"id" help:"IDs of scraping jobs."`
}

// Run signals the re-imports and says which workflow has each.
func (c *reimportCommand) Run(ctx context.Context, streams program.Streams) error {
	return c.start(ctx, streams, c.IDs, func(t client.Client, id int64, settings workflows.Settings) (client.WorkflowRun, error) {
		return workflows.Reimport(ctx, t, c.TaskQueue, id, settings)
	})
}

// withSearchAttributes are the settings for a namespace that may have those of
// imports; one that does not tell counts as one without.
func withSearchAttributes(ctx context.Context, temporal client.Client, namespace string, settings workflows.Settings) workflows.Settings {
	settings.SearchAttributes, _ = workflows.SearchAttributesRegistered(ctx, temporal, namespace)
	return settings
}

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to Temporal at %s: %w", options.HostPort, err)
	}
	return temporal, nil
}

// start does one thing for each scraping job, and goes on with the others when
// one fails.
func (f *importFlags) start(ctx context.Context, streams program.Streams, arguments []string,
	one func(client.Client, int64, workflows.Settings) (client.WorkflowRun, error),
) error {
	var s program.Settings
	settings := f.settings(&s)
	options := s.Temporal(slog.New(slog.DiscardHandler))
	var ids []int64
	for _, argument := range arguments {
		ids = append(ids, scrapingJobID(&s, argument))
	}
	if err := s.Err(); err != nil {
		return err
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	settings = withSearchAttributes(ctx, temporal, options.Namespace, settings)
	var failures []error
	for _, id := range ids {
		run, err := one(temporal, id, settings)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(streams.Out, "scraping job %d: workflow %s, run %s\n", id, run.GetID(), run.GetRunID())
	}
	return errors.Join(failures...)
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
