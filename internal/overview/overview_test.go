package overview_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMain(m *testing.M) { systemtest.Main(m) }

func reader(s *systemtest.System) *overview.Reader {
	return &overview.Reader{Temporal: s.Temporal}
}

// eventually reads the import until it is as expected.
func eventually(s *systemtest.System, id int64, what string, as func(overview.Import) bool) (found overview.Import) {
	s.T.Helper()
	s.WaitFor(what, func() bool {
		var err error
		found, err = reader(s).Import(s.T.Context(), id)
		require.NoError(s.T, err)
		return as(found)
	})
	return found
}

func atStep(step workflows.Step) func(overview.Import) bool {
	return func(i overview.Import) bool { return i.ProgressKnown && i.Progress.Step == step }
}

func TestRunningDownloadShowsItsHeartbeat(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HEARTBEAT_TIMEOUT": "2s"}, systemtest.NoGzip)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(5000, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Drip(1000, 20*time.Millisecond)})
	s.Notify(id)
	found := eventually(s, id, "a heartbeat", func(i overview.Import) bool {
		amount, ok := i.Amount()
		return ok && amount.Done > 0
	})
	require.True(t, found.Open)
	require.Equal(t, "Running", found.Status)
	require.Contains(t, found.Summary, "laptops")
	require.WithinDuration(t, time.Now(), found.StartedAt, time.Hour)
	require.Nil(t, found.ClosedAt)
	require.Equal(t, "DownloadScrapingJob", found.Activity.Name)
	require.Equal(t, int32(1), found.Activity.Attempt)
	require.NotNil(t, found.Activity.StartedAt)
	amount, _ := found.Amount()
	require.Equal(t, overview.Bytes, amount.Unit)
	require.Greater(t, amount.Of, amount.Done)
	require.False(t, found.NeedsAttention())
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "seen enough"))
}

func TestImportThatWaitsForItsWorkerSaysUntilWhen(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HEARTBEAT_TIMEOUT": "2s"}, systemtest.NoGzip)
	gone := s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5000, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Drip(1000, 20*time.Millisecond)})
	s.Notify(id)
	eventually(s, id, "a heartbeat", func(i overview.Import) bool {
		amount, ok := i.Amount()
		return ok && amount.Done > 0
	})
	killed, err := os.FindProcess(gone.PID())
	require.NoError(t, err)
	require.NoError(t, killed.Kill())
	<-gone.Done()
	s.StartWorker(t.TempDir())
	found := eventually(s, id, "the wait for the killed worker", func(i overview.Import) bool { return i.Activity != nil && i.Activity.WorkerUntil != nil })
	require.WithinDuration(t, time.Now().Add(5*time.Minute), *found.Activity.WorkerUntil, time.Minute)
	require.Contains(t, found.Next().What, "the worker that has the file picks up DownloadScrapingJob; without that worker, the import continues")
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "seen enough"))
}

func TestFailedAttemptShowsItsFailureAndTheNextAttempt(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*", Effect: webscrapertest.FailWith(502)})
	s.Notify(id)
	found := eventually(s, id, "another attempt", func(i overview.Import) bool {
		return i.Activity != nil && i.Activity.Attempt > 1 && i.Activity.NextAttempt != nil
	})
	require.Equal(t, "DownloadScrapingJob", found.Activity.Name)
	require.Contains(t, found.Activity.LastFailure, "502 Bad Gateway")
	require.Nil(t, found.Activity.StartedAt)
	require.Equal(t, int32(60), found.Activity.MaxAttempts)
	require.WithinDuration(t, time.Now().Add(54*time.Minute), *found.Next().AttentionAt, 2*time.Minute)
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "seen enough"))
}

func TestOpenImportsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	var ids []int64
	for range 5 {
		id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
		s.Notify(id)
		ids = append([]int64{id}, ids...)
		eventually(s, id, "the hold", atStep(workflows.StepHold))
	}
	done := s.Cloud.AddJob(webscrapertest.Job{Status: "stopped", Records: webscrapertest.Products(20, 1)})
	s.Notify(done)
	s.Result(done)

	var listed []int64
	s.WaitFor("all of them, in Temporal's visibility too", func() bool {
		listed = nil
		for token, pages := []byte(nil), 0; ; pages++ {
			page, next, err := reader(s).Open(t.Context(), 2, token)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), 2)
			for _, each := range page {
				require.True(t, each.Open)
				listed = append(listed, each.ScrapingJobID)
			}
			if token = next; len(token) == 0 {
				return len(listed) == 5
			}
		}
	})
	require.Equal(t, ids, listed)
}

// needingAttention starts one import that needs attention, and one that holds.
func needingAttention(t *testing.T) (s *systemtest.System, attention, held int64) {
	s = systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	held = s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	attention = s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	for _, id := range []int64{held, attention} {
		s.Notify(id)
	}
	s.Attention(attention)
	eventually(s, held, "the hold", atStep(workflows.StepHold))
	return s, attention, held
}

func requireNeedingAttention(t *testing.T, s *systemtest.System, id int64) {
	t.Helper()
	var found []overview.Import
	s.WaitFor("the one that needs attention", func() bool {
		imports, unknown, err := reader(s).NeedingAttention(t.Context())
		require.NoError(t, err)
		found = imports
		return unknown == 0 && len(imports) == 1
	})
	require.Equal(t, id, found[0].ScrapingJobID)
	require.True(t, found[0].NeedsAttention())
	require.Equal(t, "CountMismatch", found[0].Kind)
	require.Contains(t, found[0].Progress.Attention, "1 record was imported, but the job has stored 2")
	require.Contains(t, found[0].Progress.Signals, workflows.AcceptSignal)
}

func TestImportsThatNeedAttentionAreFound(t *testing.T) {
	t.Parallel()
	s, attention, _ := needingAttention(t)
	namespace := s.Env.TemporalNamespace
	missing, err := workflows.MissingSearchAttributes(t.Context(), s.Temporal, namespace)
	require.NoError(t, err)
	require.Len(t, missing, 5)
	requireNeedingAttention(t, s, attention)

	// These runs were started without the search attributes and are still found.
	types := map[string]enumspb.IndexedValueType{}
	for _, attribute := range workflows.SearchAttributes() {
		types[attribute.GetName()] = attribute.GetValueType()
	}
	_, err = s.Temporal.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: types,
	})
	require.NoError(t, err)
	s.WaitFor("the search attributes", func() bool {
		missing, err := workflows.MissingSearchAttributes(t.Context(), s.Temporal, namespace)
		require.NoError(t, err)
		return len(missing) == 0
	})
	requireNeedingAttention(t, s, attention)
}

func TestSearchAttributeOfAnotherTypeIsNotRegistered(t *testing.T) {
	t.Parallel()
	namespace := temporaltest.NewNamespace(t)
	types := map[string]enumspb.IndexedValueType{}
	for _, attribute := range workflows.SearchAttributes() {
		types[attribute.GetName()] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	types["ImportState"] = enumspb.INDEXED_VALUE_TYPE_INT
	_, err := namespace.Client.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace.Name, SearchAttributes: types,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		there, err := workflows.RegisteredSearchAttributes(t.Context(), namespace.Client, namespace.Name)
		require.NoError(t, err)
		return len(there) == len(types)
	}, time.Minute, 10*time.Millisecond)
	missing, err := workflows.MissingSearchAttributes(t.Context(), namespace.Client, namespace.Name)
	require.NoError(t, err)
	require.Equal(t, []string{"ImportState"}, missing)
}

func TestClosedImportShowsHowItEnded(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "ATTENTION_TIMEOUT": "1s"})
	s.StartWorker(s.Spool)
	deleted := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(20, 1)})
	s.Notify(deleted)
	s.Result(deleted)
	found := eventually(s, deleted, "the progress", func(i overview.Import) bool { return i.ProgressKnown })
	require.False(t, found.Open)
	require.Equal(t, "Completed", found.Status)
	require.NotNil(t, found.ClosedAt)
	require.Equal(t, workflows.Deleted, found.Result.Outcome)
	require.Equal(t, "laptops", found.Progress.SitemapName)
	require.Empty(t, found.Failure)
	require.Nil(t, found.Activity)

	failed := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	s.Notify(failed)
	found = eventually(s, failed, "the end", func(i overview.Import) bool { return !i.Open })
	require.Equal(t, "Failed", found.Status)
	require.Equal(t, "1 record was imported, but the job has stored 2", found.Failure)
	require.Nil(t, found.Result)
	require.False(t, found.NeedsAttention(), "it takes no more signals")

	terminated := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*", Effect: webscrapertest.FailWith(502)})
	s.Notify(terminated)
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(terminated), "", "enough"))
	found = eventually(s, terminated, "the end", func(i overview.Import) bool { return !i.Open })
	require.Equal(t, "Terminated", found.Status)
	require.Equal(t, "terminated: enough", found.Failure)
}

func TestUnknownJobIsNotFound(t *testing.T) {
	t.Parallel()
	namespace := temporaltest.NewNamespace(t)
	r := overview.Reader{Temporal: namespace.Client}
	_, err := r.Import(t.Context(), 1234)
	require.ErrorIs(t, err, overview.ErrNotFound)
	require.ErrorContains(t, err, "scraping job 1234: ")

	_, err = namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "1234", TaskQueue: "elsewhere"}, "Other")
	require.NoError(t, err)
	_, err = r.Import(t.Context(), 1234)
	require.ErrorIs(t, err, overview.ErrNotFound)
	require.ErrorContains(t, err, "a workflow Other")
}

// A worker answers for 50 imports in tenths of a second. A missing one must not keep the
// operator waiting.
func TestFiftyImportsWithoutAWorkerAreListedWithinSeconds(t *testing.T) {
	t.Parallel()
	const jobs = 50
	namespace := temporaltest.NewNamespace(t)
	r := overview.Reader{Temporal: namespace.Client}
	for id := range int64(jobs) {
		_, err := workflows.Notify(t.Context(), namespace.Client, "no-worker", workflows.Notification{ScrapingJobID: id + 1}, workflows.Settings{})
		require.NoError(t, err)
	}
	var imports []overview.Import
	var took time.Duration
	require.Eventually(t, func() bool {
		start := time.Now()
		var err error
		imports, _, err = r.Open(t.Context(), 100, nil)
		require.NoError(t, err)
		took = time.Since(start)
		return len(imports) == jobs
	}, 3*time.Minute, 10*time.Millisecond)
	t.Logf("%d imports took %s", jobs, took)
	require.Less(t, took, 20*time.Second)
	for _, each := range imports {
		require.False(t, each.ProgressKnown)
		require.True(t, strings.HasPrefix(each.Failure, "no worker answered"), each.Failure)
		require.Equal(t, "manual import", each.Summary)
	}
}

func TestFiftyHeldImportsAreListedWithTheirProgress(t *testing.T) {
	t.Parallel()
	const jobs = 50
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	for range jobs {
		s.Notify(s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}))
	}
	var took time.Duration
	s.WaitFor("50 held imports", func() bool {
		start := time.Now()
		imports, _, err := reader(s).Open(t.Context(), 100, nil)
		require.NoError(t, err)
		took = time.Since(start)
		held := 0
		for _, each := range imports {
			if atStep(workflows.StepHold)(each) && each.Progress.DeleteAfter != nil {
				held++
			}
		}
		return held == jobs
	})
	t.Logf("%d held imports took %s", jobs, took)
}
