package scrapehaul_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	"github.com/stretchr/testify/require"
	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// theirQueue is a task queue in the callers' namespace.
const theirQueue = "comparisons"

// callOperation returns a workflow that only calls the operation.
func callOperation[I, O any](operation nexus.OperationReference[I, O]) func(workflow.Context, string, I) (O, error) {
	return func(ctx workflow.Context, endpoint string, in I) (out O, err error) {
		called := workflow.NewNexusClient(endpoint, contract.ServiceName).ExecuteOperation(ctx, operation, in,
			workflow.NexusOperationOptions{ScheduleToCloseTimeout: 2 * time.Minute})
		return out, called.Get(ctx, &out)
	}
}

// callers is another namespace with its own worker and an endpoint of the host.
type callers struct {
	t        *testing.T
	client   client.Client
	endpoint string
}

func newCallers(t *testing.T, host *systemtest.System, endpoint string) callers {
	t.Helper()
	_, err := host.Temporal.OperatorService().CreateNexusEndpoint(t.Context(), &operatorservice.CreateNexusEndpointRequest{Spec: &nexuspb.EndpointSpec{
		Name: endpoint,
		Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_Worker_{Worker: &nexuspb.EndpointTarget_Worker{
			Namespace: host.Env.TemporalNamespace, TaskQueue: hostQueue,
		}}},
	}})
	require.NoError(t, err)
	c := callers{t: t, client: temporaltest.NewNamespace(t).Client, endpoint: endpoint}
	theirs := worker.New(c.client, theirQueue, worker.Options{})
	theirs.RegisterWorkflow(ComparePricesElsewhere)
	theirs.RegisterWorkflowWithOptions(callOperation(contract.RunSitemap), workflow.RegisterOptions{Name: contract.RunSitemap.Name()})
	theirs.RegisterWorkflowWithOptions(callOperation(contract.Reimport), workflow.RegisterOptions{Name: contract.Reimport.Name()})
	theirs.RegisterWorkflowWithOptions(callOperation(contract.Status), workflow.RegisterOptions{Name: contract.Status.Name()})
	require.NoError(t, theirs.Start())
	t.Cleanup(theirs.Stop)
	return c
}

func (c callers) start(operation string, in any) client.WorkflowRun {
	c.t.Helper()
	run, err := c.client.ExecuteWorkflow(c.t.Context(), client.StartWorkflowOptions{TaskQueue: theirQueue}, operation, c.endpoint, in)
	require.NoError(c.t, err)
	return run
}

func (c callers) status(id int64) (status contract.ImportStatus) {
	c.t.Helper()
	require.NoError(c.t, c.start(contract.Status.Name(), contract.StatusInput{ScrapingJobID: id}).Get(c.t.Context(), &status))
	return status
}

func startHost(t *testing.T, c client.Client, plugin worker.Plugin) {
	t.Helper()
	host := worker.New(c, hostQueue, worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)
}

// Timelines of created jobs.
var (
	immediately = webscrapertest.Timeline{Started: time.Millisecond}
	never       = webscrapertest.Timeline{Started: 24 * time.Hour}
)

// firstJob is the ID of the first job of a cloud.
const firstJob = 500

func applicationError(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok, "%v", err)
	return failure
}

func requireRunsOfSitemaps(t *testing.T, s *systemtest.System, n int) {
	t.Helper()
	runs := 0
	for _, run := range s.Runs(0) {
		if run.GetType().GetName() == workflows.RunSitemapName {
			runs++
		}
	}
	require.Equal(t, n, runs)
}

func TestAnotherNamespaceScrapesByNexus(t *testing.T) {
	t.Parallel()
	s, plugin := newScrapingHost(t, immediately)
	startHost(t, s.Temporal, plugin)
	c := newCallers(t, s, "scrapehaul") // as in the example
	require.NoError(t, workflows.ScheduleReconciliation(t.Context(), s.Temporal, s.Env.TemporalNamespace, hostQueue, time.Hour,
		workflows.Settings{HoldBeforeDelete: "1h", WorkerGoneAfter: "7m"}))
	sitemap := s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "prices"})

	run, err := c.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: theirQueue}, ComparePricesElsewhere, sitemap)
	require.NoError(t, err)
	var says string
	require.NoError(t, run.Get(t.Context(), &says))
	require.Equal(t, "20 prices, the import is holding", says)

	const job = firstJob
	status := c.status(job)
	require.Equal(t, "prices", status.SitemapName)
	require.Equal(t, int64(20), status.Records)
	before := s.Count(`SELECT max(import_id) FROM scrapehaul.imports`)
	var reimport contract.ReimportResult
	require.NoError(t, c.start(contract.Reimport.Name(), contract.ReimportInput{ScrapingJobID: job}).Get(t.Context(), &reimport))
	require.Equal(t, workflows.WorkflowID(job), reimport.WorkflowID)
	s.WaitFor("another import", func() bool {
		return s.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE published_import_id > $1`, before) == 1
	})
	s.Signal(job, workflows.KeepSignal)
	s.Result(job)
	status = c.status(job)
	require.Equal(t, []any{contract.StepClosed, "kept", int64(20)}, []any{status.Step, status.Outcome, status.Records})

	// A Reimport of a closed import uses the installation's settings.
	require.NoError(t, c.start(contract.Reimport.Name(), contract.ReimportInput{ScrapingJobID: job}).Get(t.Context(), &reimport))
	var in workflows.ImportScrapingJobInput
	s.WaitForStep(job, workflows.StepHold)
	started := s.History(s.Runs(job)[0]).GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(started.GetInput(), &in))
	require.Equal(t, []string{"1h", "7m"}, []string{in.Settings.HoldBeforeDelete, in.Settings.WorkerGoneAfter})
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), reimport.WorkflowID, "", "a test"))
	status = c.status(job)
	require.Equal(t, []any{contract.StepClosed, "failed", "terminated"}, []any{status.Step, status.Outcome, status.Reason})

	require.Equal(t, contract.StepUnknown, c.status(job+1).Step)
	err = c.start(contract.Status.Name(), contract.StatusInput{}).Get(t.Context(), nil)
	require.Equal(t, "scrapingjob_id is 0: want at least 1", applicationError(t, err).Message())
}

func TestNexusCallerLearnsTheEnd(t *testing.T) {
	t.Parallel()
	s, plugin := newScrapingHost(t, never)
	startHost(t, s.Temporal, plugin)
	c := newCallers(t, s, "scrapehaul-"+s.Env.TemporalNamespace)
	sitemap := s.Cloud.AddSitemap(webscrapertest.Sitemap{})

	err := c.start(contract.RunSitemap.Name(), contract.RunSitemapInput{SitemapID: sitemap, TimeLimit: "1s"}).Get(t.Context(), nil)
	failure := applicationError(t, err)
	var job contract.ScrapedJob
	require.Equal(t, contract.ErrorTimeLimit, failure.Type(), "%v", err)
	require.NoError(t, failure.Details(&job))
	require.Equal(t, int64(firstJob), job.ScrapingJobID)

	canceled := c.start(contract.RunSitemap.Name(), contract.RunSitemapInput{SitemapID: sitemap})
	const second = firstJob + 1
	s.WaitForStep(second, workflows.StepScrape)
	require.NoError(t, c.client.CancelWorkflow(t.Context(), canceled.GetID(), ""))
	require.True(t, temporal.IsCanceledError(canceled.Get(t.Context(), nil)))
	require.Equal(t, string(workflows.StepScrape), c.status(second).Step, "the import continues")

	err = c.start(contract.RunSitemap.Name(), contract.RunSitemapInput{Account: "acme"}).Get(t.Context(), nil)
	require.ErrorContains(t, err, "sitemap_id is 0: want at least 1")
	s.WaitFor("the run, listed with its account's turn", func() bool {
		return slices.ContainsFunc(s.Runs(0), func(run *workflowpb.WorkflowExecutionInfo) bool {
			return s.History(run).GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetPriority().GetFairnessKey() == "acme"
		})
	})
}

// The response to the first start never reaches Temporal.
func TestRetriedStartOfANexusOperationIsOneRun(t *testing.T) {
	t.Parallel()
	var lost atomic.Int64
	var flaky client.Client
	s, plugin := newScrapingHost(t, never, func(s *systemtest.System, o *scrapehaul.Options) {
		var err error
		flaky, err = client.DialContext(t.Context(), client.Options{
			HostPort: s.Env.TemporalAddress, Namespace: s.Env.TemporalNamespace,
			ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(
				func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					if strings.HasSuffix(method, "/RespondNexusTaskCompleted") && lost.Add(1) == 1 {
						return status.Error(codes.InvalidArgument, "lost")
					}
					return invoke(ctx, method, req, reply, cc, opts...)
				})}},
		})
		require.NoError(t, err)
		t.Cleanup(flaky.Close)
		o.Client = flaky
	})
	startHost(t, flaky, plugin)
	c := newCallers(t, s, "scrapehaul-"+s.Env.TemporalNamespace)
	sitemap := s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "prices"})
	run := c.start(contract.RunSitemap.Name(), contract.RunSitemapInput{SitemapID: sitemap})
	s.WaitForAnswer("a retry", func() bool { return lost.Load() > 1 })
	s.WaitForStep(firstJob, workflows.StepScrape)
	require.NoError(t, c.client.CancelWorkflow(t.Context(), run.GetID(), ""))
	require.True(t, temporal.IsCanceledError(run.Get(t.Context(), nil)), "the retry has the run")
	_, another := s.Cloud.Job(firstJob + 1)
	require.False(t, another)
	requireRunsOfSitemaps(t, s, 1)
}

func TestNexusCallerWaitsForAWorker(t *testing.T) {
	t.Parallel()
	s, plugin := newHost(t)
	c := newCallers(t, s, "scrapehaul-"+s.Env.TemporalNamespace)
	asking := c.start(contract.Status.Name(), contract.StatusInput{ScrapingJobID: firstJob})
	s.WaitForAnswer("a failed attempt", func() bool {
		there, err := c.client.DescribeWorkflowExecution(t.Context(), asking.GetID(), "")
		require.NoError(t, err)
		pending := there.GetPendingNexusOperations()
		return len(pending) > 0 && pending[0].GetLastAttemptFailure() != nil
	})
	startHost(t, s.Temporal, plugin)
	var status contract.ImportStatus
	require.NoError(t, asking.Get(t.Context(), &status))
	require.Equal(t, contract.StepUnknown, status.Step)
}
