package scrapehaul

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Defaults of Options.
const (
	DefaultSpoolMinFree         = 512 << 20
	DefaultMaxConcurrentImports = 4
)

// Options are what a Plugin needs.
type Options struct {
	// Client is the Temporal client that the host's worker is made from.
	// Required.
	Client client.Client
	// Cloud is the Web Scraper Cloud client. Make it with
	// webscraper.WithRetryOn429(false) and webscraper.WithPacing(false): Temporal
	// does the waiting. Required.
	Cloud *webscraper.Client
	// DB is the database, opened with the lib/pq driver. The caller applies
	// [postgres.Migrate] beforehand and closes it afterwards. Required.
	DB *sqlx.DB
	// SpoolDir keeps downloaded files until they are imported. Required.
	SpoolDir string
	// SpoolMinFree is how many bytes of the spool's file system downloads leave
	// free. Default DefaultSpoolMinFree.
	SpoolMinFree int64
	// MaxConcurrentImports is how many downloads and imports this worker runs at
	// a time. Default DefaultMaxConcurrentImports.
	MaxConcurrentImports int
}

func (o *Options) validate() error {
	var problems []error
	if o.Client == nil {
		problems = append(problems, errors.New("Client is missing"))
	}
	if o.Cloud == nil {
		problems = append(problems, errors.New("Cloud is missing"))
	}
	if o.DB == nil {
		problems = append(problems, errors.New("DB is missing"))
	}
	if o.SpoolDir == "" {
		problems = append(problems, errors.New("SpoolDir is missing"))
	}
	if o.SpoolMinFree < 0 {
		problems = append(problems, fmt.Errorf("SpoolMinFree is %d: must not be negative", o.SpoolMinFree))
	}
	if o.MaxConcurrentImports < 0 {
		problems = append(problems, fmt.Errorf("MaxConcurrentImports is %d: must not be negative", o.MaxConcurrentImports))
	}
	return errors.Join(problems...)
}

// Plugin brings scrapehaul to a Temporal worker: set it in worker.Options of
// the worker on the task queue that notifications go to. It registers the
// workflow and the activities, and, from the worker's start to its stop, runs a
// second worker on the task queue of this worker's spool, because a file can
// only be imported where it was downloaded.
//
// A Plugin serves one worker. Set it on the worker, not on the client.
type Plugin struct {
	worker.PluginBase
	options Options
	spool   *activities.Spool

	mu          sync.Mutex
	taskQueue   string
	stopTimeout time.Duration
	onFatal     func(error)
	spoolWorker worker.Worker
}

var _ worker.Plugin = (*Plugin)(nil)

// NewPlugin returns a Plugin, or an error that names every option that is not
// valid. It prepares the spool folder.
func NewPlugin(options Options) (*Plugin, error) {
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("scrapehaul options: %w", err)
	}
	if options.SpoolMinFree == 0 {
		options.SpoolMinFree = DefaultSpoolMinFree
	}
	if options.MaxConcurrentImports == 0 {
		options.MaxConcurrentImports = DefaultMaxConcurrentImports
	}
	spool, err := activities.OpenSpool(options.SpoolDir, options.SpoolMinFree)
	if err != nil {
		return nil, err
	}
	return &Plugin{options: options, spool: spool}, nil
}

// Name identifies the plugin.
func (*Plugin) Name() string { return "scrapehaul.Importer" }

// ConfigureWorker takes note of the worker's options; see [worker.Plugin].
func (p *Plugin) ConfigureWorker(_ context.Context, options worker.PluginConfigureWorkerOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taskQueue != "" {
		return fmt.Errorf("the plugin is on the worker of task queue %q already: make one for each worker", p.taskQueue)
	}
	p.taskQueue = options.TaskQueue
	p.stopTimeout = options.WorkerOptions.WorkerStopTimeout
	p.onFatal = options.WorkerOptions.OnFatalError
	return nil
}

// StartWorker registers the workflow and the activities and starts the worker
// on the spool's task queue; see [worker.Plugin].
func (p *Plugin) StartWorker(
	ctx context.Context, options worker.PluginStartWorkerOptions, next func(context.Context, worker.PluginStartWorkerOptions) error,
) error {
	spoolQueue := p.taskQueue + "@" + p.spool.Name()
	steps := &activities.Activities{
		Cloud:           p.options.Cloud,
		Store:           postgres.NewStore(p.options.DB),
		Spool:           p.spool,
		Slots:           activities.NewSlots(p.options.MaxConcurrentImports),
		WorkerTaskQueue: spoolQueue,
	}
	registerWorkflow(options.WorkerRegistry)
	steps.Register(options.WorkerRegistry)

	spoolWorker := worker.New(p.options.Client, spoolQueue, worker.Options{
		DisableWorkflowWorker: true,
		WorkerStopTimeout:     p.stopTimeout,
		OnFatalError:          p.onFatal,
	})
	steps.Register(spoolWorker)
	if err := spoolWorker.Start(); err != nil {
		return fmt.Errorf("starting the worker on task queue %q: %w", spoolQueue, err)
	}
	p.mu.Lock()
	p.spoolWorker = spoolWorker
	p.mu.Unlock()
	if err := next(ctx, options); err != nil {
		spoolWorker.Stop()
		return err
	}
	return nil
}

// StopWorker stops both workers at the same time; see [worker.Plugin].
func (p *Plugin) StopWorker(
	ctx context.Context, options worker.PluginStopWorkerOptions, next func(context.Context, worker.PluginStopWorkerOptions),
) {
	p.mu.Lock()
	spoolWorker := p.spoolWorker
	p.spoolWorker = nil
	p.mu.Unlock()
	var stopping sync.WaitGroup
	if spoolWorker != nil {
		stopping.Go(spoolWorker.Stop)
	}
	next(ctx, options)
	stopping.Wait()
}

// ReplayWorkflow registers the workflow with a replayer; see [worker.Plugin].
func (p *Plugin) ReplayWorkflow(
	ctx context.Context, options worker.PluginReplayWorkflowOptions, next func(context.Context, worker.PluginReplayWorkflowOptions) error,
) error {
	registerWorkflow(options.WorkflowReplayRegistry)
	return next(ctx, options)
}

func registerWorkflow(registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}) {
	registry.RegisterWorkflowWithOptions(workflows.ImportScrapingJob, workflow.RegisterOptions{Name: workflows.ImportScrapingJobName})
}
