package scrapehaul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Defaults of Options.
const (
	defaultSpoolMinFree         = 512 << 20
	defaultMaxConcurrentImports = 4
	defaultConnectionsPerImport = 2
	defaultAPICallsPer15Minutes = 200 // the limit of Web Scraper Cloud
)

// downloadPollers is low: each one reserves a slot while it waits for a task.
const downloadPollers = 2

// Options configure the plugin. Except for SpoolDir and limits of one worker, set the same
// on all workers of the task queue.
type Options struct {
	// Client is the Temporal client of the host's worker. Required.
	Client client.Client
	// Cloud is the client of the default account of Web Scraper Cloud, Clouds those of
	// further accounts by name: 1 to 40 of a-z, 0-9 and -. Their calls are counted in DB,
	// together with those of all other workers. At least one is required.
	Cloud  *webscraper.Client
	Clouds map[string]*webscraper.Client
	// DB is the database, opened with the lib/pq driver. The caller runs [postgres.Migrate]
	// before and closes it afterwards. Required.
	DB *sqlx.DB
	// Mappings, if set, also write records as rows of tables in DB, which are created when
	// the worker starts. They need the default RecordSink.
	Mappings *mapping.Mappings
	// RecordSink stores the records instead of DB, which stores everything else. Default:
	// schema scrapehaul of DB.
	RecordSink sink.RecordSink
	// RecordHook, if set, is called for every record before it is imported: it may change
	// the record, or skip it with a reason.
	RecordHook activities.RecordHook
	// SpoolDir stores downloaded files until they are imported. It is created if missing.
	// Required.
	SpoolDir string
	// SpoolMinFree is how many bytes downloads leave free on the spool's file system.
	// Default 512 MiB.
	SpoolMinFree int64
	// MaxConcurrentImports limits the downloads and imports that this worker runs
	// concurrently. Default 4.
	MaxConcurrentImports int
	// ConnectionsPerImport is the number of database connections that an import writes
	// over, and so of PostgreSQL's cores that one import can use. Default 2.
	ConnectionsPerImport int
	// APICallsPer15Minutes is the API limit of each account: all workers on DB together stay
	// below it. If workers differ, the lowest counts. Default 200.
	APICallsPer15Minutes int
	// Archive, if set, stores the file of every published import, so that a job can be
	// imported again after it was deleted in the cloud. The caller closes it afterwards.
	Archive *blob.Bucket
	// ArchiveRetention is how long a file stays in the archive. 0 means forever.
	ArchiveRetention time.Duration
	// RecordsRetention is how long the records of a published import are kept, and
	// KeepImports how many of the last published imports of each sitemap are kept whatever
	// their age. With both 0, everything is kept. Mappings may override them for a sitemap.
	// The last finished job of a sitemap is always kept. They need the default RecordSink.
	RecordsRetention time.Duration
	KeepImports      int
	// OnPublished, if set, is a workflow to start for every published import.
	OnPublished *activities.FollowUp
	// PublishedWebhook, if set, receives every published import.
	PublishedWebhook *activities.Webhook
}

func (o *Options) validate() error {
	var problems []error
	if o.Client == nil {
		problems = append(problems, errors.New("Client is missing"))
	}
	if o.Cloud == nil && len(o.Clouds) == 0 {
		problems = append(problems, errors.New("Cloud is missing"))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Clouds)) {
		problems = append(problems, validate.Account("Clouds", name))
		if name == sink.DefaultAccount && o.Cloud != nil {
			problems = append(problems, fmt.Errorf("Cloud and Clouds[%q] are both set: they are the same account", name))
		}
		if o.Clouds[name] == nil {
			problems = append(problems, fmt.Errorf("Clouds[%q] is missing", name))
		}
	}
	if o.DB == nil {
		problems = append(problems, errors.New("DB is missing"))
	}
	if o.SpoolDir == "" {
		problems = append(problems, errors.New("SpoolDir is missing"))
	}
	for _, each := range []struct {
		name string
		n    int64
	}{
		{"SpoolMinFree", o.SpoolMinFree}, {"MaxConcurrentImports", int64(o.MaxConcurrentImports)},
		{"ConnectionsPerImport", int64(o.ConnectionsPerImport)}, {"APICallsPer15Minutes", int64(o.APICallsPer15Minutes)},
	} {
		if each.n < 0 {
			problems = append(problems, fmt.Errorf("%s is %d: must not be negative", each.name, each.n))
		}
	}
	if o.RecordSink != nil && o.Mappings != nil {
		problems = append(problems, errors.New("Mappings and RecordSink are both set: mappings need the default RecordSink"))
	}
	for _, each := range o.Mappings.All() {
		if o.Clouds[each.Account] == nil && (each.Account != sink.DefaultAccount || o.Cloud == nil) {
			problems = append(problems, fmt.Errorf("Mappings has one of %s for account %q, which has no client: set its API token (WEBSCRAPER_API_TOKENS), or change the account in the mapping",
				each.Sitemaps(), each.Account))
		}
	}
	if o.ArchiveRetention < 0 {
		problems = append(problems, fmt.Errorf("ArchiveRetention is %s: must not be negative", o.ArchiveRetention))
	}
	if o.RecordsRetention < 0 || o.KeepImports < 0 {
		problems = append(problems, fmt.Errorf("RecordsRetention is %s, KeepImports %d: must not be negative", o.RecordsRetention, o.KeepImports))
	}
	if o.RecordSink != nil && (o.RecordsRetention != 0 || o.KeepImports != 0) {
		problems = append(problems, errors.New("RecordSink is set with RecordsRetention or KeepImports: they need the default RecordSink"))
	}
	if o.OnPublished != nil {
		problems = append(problems, workflows.CheckFollowUp("OnPublished", *o.OnPublished))
	}
	if to := o.PublishedWebhook; to != nil {
		problems = append(problems, validate.PublishedWebhookURL("PublishedWebhook.URL", to.URL),
			validate.PublishedWebhookSecret("PublishedWebhook.Secret", to.Secret))
	}
	return errors.Join(problems...)
}

// accounts returns all accounts by name.
func (o *Options) accounts() map[string]*activities.Account {
	clouds := maps.Clone(o.Clouds)
	if o.Cloud != nil {
		if clouds == nil {
			clouds = map[string]*webscraper.Client{}
		}
		clouds[sink.DefaultAccount] = o.Cloud
	}
	accounts := map[string]*activities.Account{}
	for name, cloud := range clouds {
		accounts[name] = activities.NewAccount(name, cloud, postgres.NewLedger(o.DB, name, o.APICallsPer15Minutes))
	}
	return accounts
}

type plugin struct {
	worker.PluginBase
	options Options
	spool   *activities.Spool

	mu          sync.Mutex
	taskQueue   string
	stopTimeout time.Duration
	onFatal     func(error)
	running     []func() // each stops something that runs alongside the worker
}

// NewPlugin returns a plugin that adds scrapehaul to a Temporal worker, or an error that
// names every invalid option. Set it in the worker.Options of the worker on the task queue
// that notifications go to, not on the client; it serves one worker. NewPlugin prepares the
// spool folder.
//
// The plugin registers the workflows, the activities and the Nexus service. While the worker
// runs, it also runs two workers for activities: one on the task queue of this worker's
// spool, because a file can only be imported where it was downloaded, and one on the task
// queue of downloads, which it polls while it has room for one.
func NewPlugin(options Options) (worker.Plugin, error) {
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("scrapehaul options: %w", err)
	}
	options.SpoolMinFree = cmp.Or(options.SpoolMinFree, defaultSpoolMinFree)
	options.APICallsPer15Minutes = cmp.Or(options.APICallsPer15Minutes, defaultAPICallsPer15Minutes)
	options.MaxConcurrentImports = cmp.Or(options.MaxConcurrentImports, defaultMaxConcurrentImports)
	options.ConnectionsPerImport = cmp.Or(options.ConnectionsPerImport, defaultConnectionsPerImport)
	spool, err := activities.OpenSpool(options.SpoolDir, options.SpoolMinFree)
	if err != nil {
		return nil, err
	}
	return &plugin{options: options, spool: spool}, nil
}

// Name returns the plugin's name.
func (*plugin) Name() string { return "scrapehaul.Importer" }

// ConfigureWorker implements [worker.Plugin]: it keeps the worker's options.
func (p *plugin) ConfigureWorker(_ context.Context, options worker.PluginConfigureWorkerOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taskQueue != "" {
		return fmt.Errorf("the plugin is already on the worker of task queue %q: create one plugin per worker", p.taskQueue)
	}
	p.taskQueue = options.TaskQueue
	p.stopTimeout = options.WorkerOptions.WorkerStopTimeout
	p.onFatal = options.WorkerOptions.OnFatalError
	return nil
}

// StartWorker implements [worker.Plugin]: it registers the workflows and activities,
// registers the spool and starts the additional workers.
func (p *plugin) StartWorker(
	ctx context.Context, options worker.PluginStartWorkerOptions, next func(context.Context, worker.PluginStartWorkerOptions) error,
) error {
	store := postgres.NewStore(p.options.DB, p.options.Mappings)
	steps := &activities.Activities{
		Accounts:             p.options.accounts(),
		Sink:                 p.options.RecordSink,
		Store:                store,
		Spool:                p.spool,
		MaxConcurrentImports: p.options.MaxConcurrentImports,
		ImportConnections:    p.options.ConnectionsPerImport,
		WorkerTaskQueue:      p.spool.TaskQueue(p.taskQueue),
		ArchiveRetention:     p.options.ArchiveRetention,
		RecordsRetention:     p.options.RecordsRetention,
		KeepImports:          p.options.KeepImports,
		RecordHook:           p.options.RecordHook,
		OnPublished:          p.options.OnPublished,
		Webhook:              p.options.PublishedWebhook,
	}
	if steps.Sink == nil {
		steps.Sink = store
	}
	if p.options.Archive != nil {
		steps.Archive = archive.New(p.options.Archive)
	}
	workflows.Register(options.WorkerRegistry)
	steps.Register(options.WorkerRegistry)
	workflows.RegisterActivities(options.WorkerRegistry)
	options.WorkerRegistry.RegisterNexusService(workflows.NexusService())
	if err := postgres.CheckSchema(ctx, p.options.DB); err != nil {
		return fmt.Errorf("the plugin's DB: %w", err)
	}
	if err := postgres.PrepareMappedTables(ctx, p.options.DB, p.options.Mappings); err != nil {
		return err
	}
	if err := steps.RegisterSpool(ctx); err != nil {
		return err
	}
	activitiesOnly := worker.Options{
		DisableWorkflowWorker: true,
		WorkerStopTimeout:     p.stopTimeout,
		OnFatalError:          p.onFatal,
	}
	withRoom := activitiesOnly
	withRoom.MaxConcurrentActivityTaskPollers = downloadPollers
	tuner, err := worker.NewCompositeTuner(worker.CompositeTunerOptions{ActivitySlotSupplier: steps.DownloadSlots()})
	if err != nil {
		return err
	}
	withRoom.Tuner = tuner
	reporting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var reports sync.WaitGroup
	reports.Go(func() { p.spool.ReportEndedAttempts(reporting, p.options.Client) })
	p.runs(func() { stop(); reports.Wait() })
	err = p.startAdditional(steps, steps.WorkerTaskQueue, activitiesOnly)
	if err == nil {
		err = p.startAdditional(steps, workflows.DownloadTaskQueue(p.taskQueue), withRoom)
	}
	if err == nil {
		err = next(ctx, options)
	}
	if err != nil {
		p.stopAdditional()
	}
	return err
}

func (p *plugin) startAdditional(steps *activities.Activities, taskQueue string, options worker.Options) error {
	additional := worker.New(p.options.Client, taskQueue, options)
	steps.Register(additional)
	if err := additional.Start(); err != nil {
		return fmt.Errorf("starting the worker on task queue %q: %w", taskQueue, err)
	}
	p.runs(additional.Stop)
	return nil
}

func (p *plugin) runs(stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, stop)
}

func (p *plugin) stopAdditional() {
	p.mu.Lock()
	running := p.running
	p.running = nil
	p.mu.Unlock()
	var stopping sync.WaitGroup
	for _, each := range running {
		stopping.Go(each)
	}
	stopping.Wait()
}

// StopWorker implements [worker.Plugin]: it stops all workers concurrently.
func (p *plugin) StopWorker(
	ctx context.Context, options worker.PluginStopWorkerOptions, next func(context.Context, worker.PluginStopWorkerOptions),
) {
	var stopping sync.WaitGroup
	stopping.Go(p.stopAdditional)
	next(ctx, options)
	stopping.Wait()
}

// ReplayWorkflow implements [worker.Plugin]: it registers the workflows with a replayer.
func (p *plugin) ReplayWorkflow(
	ctx context.Context, options worker.PluginReplayWorkflowOptions, next func(context.Context, worker.PluginReplayWorkflowOptions) error,
) error {
	workflows.Register(options.WorkflowReplayRegistry)
	return next(ctx, options)
}
