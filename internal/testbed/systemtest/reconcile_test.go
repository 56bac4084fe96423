package systemtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestJobWithMissedNotificationsIsImported(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	s.StartWorker(s.Spool)
	add := func(status string, records int) int64 {
		return s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Status: status, Records: webscrapertest.Products(records, 1)})
	}
	missed, imported := add("finished", 100), add("stopped", 50)
	add("started", 10)
	s.Notify(imported)
	s.Result(imported)

	output, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile", "--dry-run")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^`+strconv.FormatInt(missed, 10)+` +my-sitemap +finished +100 +not imported$`, output)
	require.Contains(t, output, "1 of 3 jobs are due: nothing started\n")
	require.Empty(t, s.Runs(missed))

	output, err = s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Contains(t, output, "1 of 3 jobs are due: imports started\n")
	started, err := s.Temporal.GetWorkflowHistory(t.Context(), workflows.ReconcileScheduleID+"-by-hand", "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
	require.NoError(t, err)
	require.Contains(t, started.GetWorkflowExecutionStartedEventAttributes().GetInput().String(), "by_hand")
	require.Equal(t, workflows.Kept, s.Result(missed).Outcome)
	s.RequireRecords(missed, 100)

	require.NoError(t, s.Cloud.SetRecords(imported, webscrapertest.Products(60, 2)))
	output, err = s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Regexp(t, `(?m) +stopped +60 +run again since its import$`, output)
	s.WaitFor("the import of the new content", func() bool {
		return s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, imported) == 60
	})
	s.Result(imported)

	output, err = s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Contains(t, output, "0 of 3 jobs are due")
}

func TestScheduleFindsMissedJobs(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "RECONCILE_EVERY": "1h"})
	s.StartWorker(s.Spool)
	s.WaitForSchedule()
	// More often than a starter would.
	require.NoError(t, workflows.ScheduleReconciliation(t.Context(), s.Temporal, s.Env.TemporalNamespace, workflows.DefaultTaskQueue,
		time.Second, workflows.Settings{HoldBeforeDelete: "0"}))
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	s.WaitFor("the import", func() bool { return len(s.Runs(id)) > 0 })
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.RequireRecords(id, 100)

	// The next starter changes the schedule, and leaves it paused.
	handle := s.Temporal.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	require.NoError(t, handle.Pause(t.Context(), client.SchedulePauseOptions{}))
	every := func() string {
		described, err := handle.Describe(t.Context())
		if err != nil {
			return err.Error()
		}
		require.True(t, described.Schedule.State.Paused)
		every := "never"
		for _, interval := range described.Schedule.Spec.Intervals {
			every = interval.Every.String()
		}
		return every
	}
	s.StartStarter(s.Env.With("RECONCILE_EVERY", "30m"))
	s.WaitFor("the change", func() bool { return every() == "30m0s" })
	s.StartStarter(s.Env.With("RECONCILE_EVERY", "0"))
	s.WaitFor("the change", func() bool { return every() == "never" })
}

func TestFilterAppliesToNotificationsAndReconciliation(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "never", "FILTER_SITEMAP_PREFIX": "shop-", "FILTER_TAG": "prices", "FILTER_STATUSES": "finished,stopped",
	})
	s.StartWorker(s.Spool)
	add := func(sitemapID int64, sitemap, status string, tags ...string) int64 {
		return s.Cloud.AddJob(webscrapertest.Job{
			SitemapID: sitemapID, SitemapName: sitemap, Status: status, Tags: tags, Records: webscrapertest.Products(10, 1),
		})
	}
	inside := add(1, "shop-a", "finished", "prices")
	missed := add(1, "shop-a", "stopped", "prices")
	otherName := add(2, "news", "finished", "prices")
	otherStatus := add(1, "shop-a", "failed", "prices")
	otherTag := add(3, "shop-b", "finished", "stock")
	for _, id := range []int64{inside, otherName, otherStatus, otherTag} {
		s.Notify(id)
	}
	require.Equal(t, workflows.Kept, s.Result(inside).Outcome)
	require.Equal(t, workflows.Filtered, s.Result(otherTag).Outcome)
	require.Empty(t, s.Runs(otherName))
	require.Empty(t, s.Runs(otherStatus))

	output, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Contains(t, output, "1 of 4 jobs are due", "the list has only jobs with the tag")
	require.Equal(t, workflows.Kept, s.Result(missed).Outcome)
	require.Equal(t, int64(20), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records`))

	_, err = s.Programs.RunStarter(t.Context(), s.Env, "reimport", strconv.FormatInt(otherTag, 10))
	require.NoError(t, err)
	s.WaitFor("the re-import", func() bool {
		return s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, otherTag) == 10
	})
	s.Result(otherTag)
}

func TestLeftoversOfTerminatedRunsAreRemoved(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "never", "BATCH_RECORDS": "500", "HEARTBEAT_TIMEOUT": "3s"})
	worker := s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.Notify(id)
	s.WaitFor("some batches", func() bool {
		return s.Count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	require.NoError(t, syscall.Kill(worker.PID(), syscall.SIGKILL))
	<-worker.Done()
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "a test"))
	foreign := filepath.Join(s.Spool, "notes.txt")
	require.NoError(t, os.WriteFile(foreign, nil, 0o600))

	// A second import is running, and must not be disturbed.
	s.StartWorker(s.Spool)
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Effect: webscrapertest.HangAt(100_000)})
	busy := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10_000, 1)})
	s.Notify(busy)
	partial := func() []string {
		files, err := filepath.Glob(filepath.Join(s.Spool, "scrapingjob-"+strconv.FormatInt(busy, 10)+"-*"))
		require.NoError(t, err)
		return files
	}
	s.WaitFor("its download", func() bool { return len(partial()) == 1 })

	// Else the reconciliation would import it.
	require.NoError(t, s.Cloud.SetStatus(id, "started"))
	output, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Contains(t, output, "removed leftovers of ended runs: 1 unpublished imports, 1 spool files")
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.import_records`))
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports WHERE state = 'abandoned'`))
	require.Len(t, partial(), 1)
	require.FileExists(t, foreign)

	require.NoError(t, s.Temporal.CancelWorkflow(t.Context(), workflows.WorkflowID(busy), ""))
	s.WaitFor("the end", func() bool {
		return s.Runs(busy)[0].GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})
	require.NoError(t, os.Remove(foreign))
	s.RequireEmptySpool(s.Spool)
}
