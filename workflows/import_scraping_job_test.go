package workflows_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const jobID = 1234

// world fakes the cloud, the database and the spool as the workflow's activities show them.
type world struct {
	*testsuite.TestWorkflowEnvironment
	start    time.Time
	settings workflows.Settings // except the hold

	job       sink.ScrapingJob
	found     bool
	published *sink.PublishedImport
	archived  *sink.ScrapingJob // the job of the newest archived file

	// files are removed while others are downloaded.
	filesMu sync.Mutex
	files   map[string]bool

	// downloadsJSON is set if the file is JSON whatever format is requested.
	downloadsJSON bool

	announce *activities.Announcement // of the published import
	outside  string                   // why the job does not pass the filter
	abandons []sink.ScrapingJob

	earlierBuild bool // the worker has no accounts
	refusals     []activities.RefuseScrapingJobInput
	refuseFails  []error

	described int
	downloads []activities.DownloadScrapingJobInput
	imports   []activities.ImportRecordsInput
	deletes   []activities.DeleteScrapingJobInput
	deletions []time.Duration // since the start

	// Hooks change what a step does; nil does nothing.
	onCall     func() (wait time.Duration) // before each API call
	onDescribe func()
	onDownload func() error
	onImport   func(*activities.ImportRecordsResult) error
	onRemove   func() error
	onDelete   func(*activities.DeleteScrapingJobResult)
	// deleteFails is called after onDelete.
	deleteFails func() error
}

func newWorld(t *testing.T, status string) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	w := &world{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(),
		found:                   true,
		job: sink.ScrapingJob{
			ScrapingJobID: jobID, Account: sink.DefaultAccount, SitemapID: 12, SitemapName: "my-sitemap", Status: status, StoredRecordCount: 20,
		},
		files: map[string]bool{},
	}
	w.start = w.Now()
	w.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "1234"})
	workflows.Register(w)
	for name, step := range map[string]any{
		"DownloadScrapingJob": w.download, "ImportRecords": w.importRecords,
		"RemoveFile": w.removeFile, "DeleteScrapingJob": w.delete,
		activities.AbandonScrapingJobName: w.abandon, "RefuseScrapingJob": w.refuse,
	} {
		w.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	w.SetTestTimeout(time.Minute)
	return w
}

func (w *world) describe(filter activities.Filter) *activities.Description {
	w.described++
	outside := ""
	if filter.Tag != "" {
		outside = w.outside
	}
	if w.onDescribe != nil {
		w.onDescribe()
	}
	return &activities.Description{Found: w.found, Job: w.job, Published: w.published, Announce: w.announce, Outside: outside, WorkerTaskQueue: "worker"}
}

// call returns how long to wait for the account's next API call.
func (w *world) call() time.Duration {
	if w.onCall == nil {
		return 0
	}
	return w.onCall()
}

// describeAccount adds the account of the published import.
func (w *world) describeAccount(account string, described *activities.Description) {
	if w.earlierBuild {
		described.Job.Account = ""
		return
	}
	described.Account = cmp.Or(account, sink.DefaultAccount)
	if w.published != nil && w.published.Account != "" {
		switch owner := w.published.Account; account {
		case "":
			described.Account = owner
		case owner:
		default:
			described.OtherAccount, described.Found, described.Job = owner, false, sink.ScrapingJob{}
			return
		}
	}
	if described.Found {
		described.Job.Account = described.Account
	}
}

func (w *world) refuse(_ context.Context, in activities.RefuseScrapingJobInput) error {
	if len(w.refuseFails) > 0 {
		err := w.refuseFails[0]
		w.refuseFails = w.refuseFails[1:]
		return err
	}
	w.refusals = append(w.refusals, in)
	return nil
}

func (w *world) abandon(_ context.Context, job sink.ScrapingJob) error {
	w.abandons = append(w.abandons, job)
	return nil
}

func (w *world) download(_ context.Context, in activities.DownloadScrapingJobInput) (activities.DownloadScrapingJobResult, error) {
	w.downloads = append(w.downloads, in)
	var result activities.DownloadScrapingJobResult
	if in.IfDue != nil {
		if wait := w.call(); wait > 0 {
			return activities.DownloadScrapingJobResult{Wait: wait}, nil
		}
		result.Described = w.describe(in.IfDue.Filter.For(in.Account))
		w.describeAccount(in.Account, result.Described)
		if !w.found && in.IfDue.Again {
			result.Archived = w.archived
		}
		if result.Archived == nil && !result.Described.Due(in.IfDue.Again) {
			return result, nil
		}
	}
	w.setFile(in.File, true)
	if w.onDownload != nil {
		if err := w.onDownload(); err != nil {
			failure, ok := errors.AsType[*temporal.ApplicationError](err)
			switch final := ok && failure.NonRetryable(); {
			case in.IfDue == nil:
				return result, err
			case final:
				w.setFile(in.File, false)
				return result, err
			}
			result.Interrupted = &activities.Interruption{Reason: err.Error(), Progress: activities.Progress{Bytes: 500}}
			return result, nil
		}
	}
	result.Bytes, result.SHA256, result.Format = 1000, "abc", in.Source.Format
	if w.downloadsJSON {
		result.Format = ""
	}
	return result, nil
}

func (w *world) importRecords(_ context.Context, in activities.ImportRecordsInput) (activities.ImportRecordsResult, error) {
	w.imports = append(w.imports, in)
	result := activities.ImportRecordsResult{ImportID: int64(len(w.imports)), Counts: sink.Counts{Records: w.job.StoredRecordCount}, Published: true}
	if w.onImport != nil {
		if err := w.onImport(&result); err != nil {
			return result, err
		}
	}
	if result.Published {
		w.published = &sink.PublishedImport{
			ScrapingJob: in.Job, Counts: result.Counts,
			ImportID: result.ImportID, Bytes: in.Bytes, SHA256: in.SHA256,
		}
	}
	w.setFile(in.File, false)
	return result, nil
}

func (w *world) removeFile(_ context.Context, in activities.RemoveFileInput) error {
	if w.onRemove != nil {
		if err := w.onRemove(); err != nil {
			return err
		}
	}
	w.setFile(in.File, false)
	return nil
}

func (w *world) setFile(name string, there bool) {
	w.filesMu.Lock()
	defer w.filesMu.Unlock()
	if there {
		w.files[name] = true
	} else {
		delete(w.files, name)
	}
}

func (w *world) delete(_ context.Context, in activities.DeleteScrapingJobInput) (activities.DeleteScrapingJobResult, error) {
	w.deletes = append(w.deletes, in)
	if wait := w.call(); wait > 0 {
		return activities.DeleteScrapingJobResult{Wait: wait}, nil
	}
	result := activities.DeleteScrapingJobResult{Deleted: true}
	if w.onDelete != nil {
		w.onDelete(&result)
	}
	if w.deleteFails != nil {
		if err := w.deleteFails(); err != nil {
			return result, err
		}
	}
	if result.Deleted {
		w.found = false
		w.deletions = append(w.deletions, w.Now().Sub(w.start))
	}
	return result, nil
}

// run executes the workflow to completion and requires that no file is left.
func (w *world) run(t *testing.T, hold string) workflows.ImportScrapingJobResult {
	t.Helper()
	w.execute(hold)
	require.NoError(t, w.GetWorkflowError())
	require.Empty(t, w.files, "spool files are left")
	var result workflows.ImportScrapingJobResult
	require.NoError(t, w.GetWorkflowResult(&result))
	return result
}

func (w *world) execute(hold string) {
	w.settings.HoldBeforeDelete = hold
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		ScrapingJobID: jobID, Settings: w.settings,
	})
}

func (w *world) signalAfter(delay time.Duration, signal string) {
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(signal, nil) }, delay)
}

func TestFinishedJobIsDeletedAfterTheHold(t *testing.T) {
	for _, test := range []struct {
		hold string
		want time.Duration
	}{{"", 24 * time.Hour}, {"90m", 90 * time.Minute}, {"0", 0}} {
		t.Run("hold "+test.hold, func(t *testing.T) {
			w := newWorld(t, "finished")
			require.Equal(t, workflows.ImportScrapingJobResult{
				ScrapingJobID: jobID, Account: sink.DefaultAccount, Counts: sink.Counts{Records: 20}, Bytes: 1000, SHA256: "abc", Outcome: workflows.Deleted,
			}, w.run(t, test.hold))
			require.Len(t, w.deletions, 1)
			require.InDelta(t, test.want.Seconds(), w.deletions[0].Seconds(), 1)
		})
	}
}

func TestSettingsReachTheImport(t *testing.T) {
	w := newWorld(t, "finished")
	w.run(t, "0")
	require.Len(t, w.imports, 1)
	require.Equal(t, workflows.DefaultSettings().BatchRecords, w.imports[0].BatchRecords)
	require.Equal(t, workflows.DefaultSettings().MaxRecordBytes, w.imports[0].MaxRecordBytes)
	require.Equal(t, w.job, w.imports[0].Job)
}

func TestUnfinishedJobsStayInTheCloud(t *testing.T) {
	for _, test := range []struct {
		name, status, hold string
		reason             string
	}{
		{"stopped", "stopped", "0", `the job is "stopped": it can still be continued in Web Scraper Cloud`},
		{"failed", "failed", "0", `the job is "failed": it can still be continued in Web Scraper Cloud`},
		{"unknown status", "paused", "0", `the job is "paused": it can still be continued in Web Scraper Cloud`},
		{"never", "finished", "never", `hold_before_delete is "never"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.status)
			result := w.run(t, test.hold)
			require.Equal(t, workflows.Kept, result.Outcome)
			require.Equal(t, test.reason, result.Reason)
			require.Len(t, w.imports, 1)
			require.Empty(t, w.deletions)
		})
	}
}

// removed returns the published import after its retention.
func (w *world) removed() *sink.PublishedImport {
	return &sink.PublishedImport{
		ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 18, Rejected: 2}, RemovedAt: new(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)),
	}
}

const whyRemoved = "its 18 records were removed on 2026-02-01T00:00:00Z when their retention ended; starter reimport 1234 restores them"

func TestRemovedImportNeedsNoAttentionAndItsJobStaysInTheCloud(t *testing.T) {
	w := newWorld(t, "finished")
	w.published = w.removed()
	result := w.run(t, "0")
	require.Equal(t, workflows.Unchanged, result.Outcome)
	require.Equal(t, whyRemoved, result.Reason)
	require.Empty(t, w.imports)
	require.Empty(t, w.deletes)

	w = newWorld(t, "finished")
	w.published, w.found = w.removed(), false
	result = w.run(t, "0")
	require.Equal(t, workflows.NotFound, result.Outcome)
	require.Equal(t, "the job is no longer in Web Scraper Cloud: "+whyRemoved, result.Reason)

	w = newWorld(t, "finished")
	w.published = w.removed()
	w.signalAfter(0, workflows.ReimportSignal)
	require.Equal(t, workflows.Deleted, w.run(t, "1h").Outcome, "a re-imported job is held, then deleted")
	require.Len(t, w.imports, 1)
}

func TestImportRemovedRightBeforeTheDeletionNeedsNoAttention(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDelete = func(result *activities.DeleteScrapingJobResult) {
		*result = activities.DeleteScrapingJobResult{Removed: true, Reason: whyRemoved}
	}
	result := w.run(t, "24h")
	require.Equal(t, workflows.Kept, result.Outcome)
	require.Equal(t, whyRemoved, result.Reason)
	require.Len(t, w.deletes, 1)
}

func TestRunningOrUnknownJobIsNotImported(t *testing.T) {
	for _, status := range []string{"waiting-to-be-scheduled", "scheduling", "scheduled", "started"} {
		w := newWorld(t, status)
		require.Equal(t, workflows.StillRunning, w.run(t, "0").Outcome)
		require.Empty(t, w.imports)
	}
	w := newWorld(t, "finished")
	w.found = false
	require.Equal(t, workflows.NotFound, w.run(t, "0").Outcome)
	require.Empty(t, w.imports)
}

func TestRetriedNotificationImportsOnce(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(*activities.ImportRecordsResult) error {
		w.SignalWorkflow(workflows.NotificationSignal, nil) // while importing
		return nil
	}
	w.signalAfter(time.Hour, workflows.NotificationSignal) // while holding
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.Len(t, w.imports, 1)
	require.Len(t, w.deletions, 1)
	require.InDelta(t, 24*time.Hour.Seconds(), w.deletions[0].Seconds(), 5, "the hold is not extended")
}

func TestPublishedContentIsNotImportedAgainByAnotherRun(t *testing.T) {
	for status, hold := range map[string]string{"stopped": "0", "finished": workflows.NeverDelete} {
		w := newWorld(t, status)
		w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 20}, SHA256: "old"}
		result := w.run(t, hold)
		require.Equal(t, workflows.Unchanged, result.Outcome)
		require.Equal(t, "the same content is already published", result.Reason)
		require.Equal(t, int64(20), result.Records)
		require.Empty(t, w.imports)
	}
}

func TestAnotherRunAsksAgainOnlyBeforeADeletion(t *testing.T) {
	for status, hold := range map[string]string{"stopped": "0", "finished": workflows.NeverDelete} {
		w := newWorld(t, status)
		w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 18, Rejected: 2}, SHA256: "old"}
		result := w.run(t, hold)
		require.Equal(t, workflows.Unchanged, result.Outcome)
		require.Equal(t, "the same content is already published; 2 records were rejected (see scrapehaul.rejected_records)", result.Reason)
	}
	w := newWorld(t, "finished")
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 18, Rejected: 2}, SHA256: "old"}
	w.asks(t, func(attention string) {
		require.Contains(t, attention, "accept lets the job be deleted in the cloud")
		w.SignalWorkflow(workflows.AcceptSignal, nil)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
}

func TestAnotherRunFinishesTheHoldOfVerifiedContent(t *testing.T) {
	w := newWorld(t, "finished")
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 20}, SHA256: "old"}
	require.Equal(t, workflows.Deleted, w.run(t, "2h").Outcome)
	require.Empty(t, w.imports)
	require.InDelta(t, 2*time.Hour.Seconds(), w.deletions[0].Seconds(), 1)
}

func TestContinuedJobIsImportedAndHeldAgain(t *testing.T) {
	w := newWorld(t, "finished")
	w.RegisterDelayedCallback(func() {
		w.job.StoredRecordCount, w.job.JobsExecuted = 30, 5
		w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Status: "finished"})
	}, 10*time.Hour)
	result := w.run(t, "24h")
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, int64(30), result.Records)
	require.Len(t, w.imports, 2)
	require.NotEqual(t, w.imports[0].Pass, w.imports[1].Pass)
	require.True(t, w.imports[1].RequestedAt.After(w.imports[0].RequestedAt))
	require.InDelta(t, 34*time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
}

func TestJobThatRunsAgainDuringTheHoldIsNotDeleted(t *testing.T) {
	w := newWorld(t, "finished")
	w.signalAfter(time.Hour, workflows.NotificationSignal)
	w.onDescribe = func() {
		if len(w.imports) > 0 {
			w.job.Status = "started"
		}
	}
	require.Equal(t, workflows.StillRunning, w.run(t, "24h").Outcome)
	require.Empty(t, w.deletions)
}

func TestContentThatChangedUnnoticedIsImportedInsteadOfDeleted(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDelete = func(result *activities.DeleteScrapingJobResult) {
		if len(w.imports) == 1 {
			w.job.StoredRecordCount = 30
			*result = activities.DeleteScrapingJobResult{Changed: true}
		}
	}
	result := w.run(t, "1h")
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, int64(30), result.Records)
	require.Len(t, w.deletions, 1)
}

func TestReimportIsAcceptedAtAnyTime(t *testing.T) {
	for _, test := range []struct {
		name  string
		setup func(*world)
	}{
		{"while downloading", func(w *world) {
			w.onDownload = func() error {
				if len(w.imports) == 0 {
					w.SignalWorkflow(workflows.ReimportSignal, nil)
				}
				return nil
			}
		}},
		{"while importing", func(w *world) {
			w.onImport = func(*activities.ImportRecordsResult) error {
				if len(w.imports) == 1 {
					w.SignalWorkflow(workflows.ReimportSignal, nil)
				}
				return nil
			}
		}},
		{"while holding", func(w *world) { w.signalAfter(time.Hour, workflows.ReimportSignal) }},
		{"together with a notification", func(w *world) {
			w.signalAfter(time.Hour, workflows.ReimportSignal)
			w.signalAfter(time.Hour, workflows.NotificationSignal)
		}},
		{"with some input", func(w *world) {
			w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.ReimportSignal, "please") }, time.Hour)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "finished")
			test.setup(w)
			require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
			require.Len(t, w.imports, 2)
			require.Len(t, w.deletions, 1)
		})
	}
}

func TestReimportOfAClosedImportStartsARunThatImports(t *testing.T) {
	w := newWorld(t, "stopped")
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 20}}
	w.signalAfter(0, workflows.ReimportSignal)
	require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 1)
}

func TestSignalAtTheMomentOfDeletionDoesNotChangeTheOutcome(t *testing.T) {
	w := newWorld(t, "finished")
	described := 0
	w.onDescribe = func() { described++ }
	w.onDelete = func(*activities.DeleteScrapingJobResult) { w.SignalWorkflow(workflows.NotificationSignal, nil) }
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Equal(t, 2, described, "the signal is not lost")
}

func TestImportRestartsWhenItsWorkerOrFileIsGone(t *testing.T) {
	gone := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	broken := temporal.NewApplicationError("broken", "CloudUnavailable")
	full := temporal.NewNonRetryableApplicationError("full", activities.ErrorDiskFull, nil)
	fileGone := temporal.NewNonRetryableApplicationError("gone", activities.ErrorFileGone, nil)
	superseded := temporal.NewNonRetryableApplicationError("superseded", activities.ErrorSuperseded, nil)
	for _, test := range []struct {
		name       string
		onDownload []error
		onLoad     error
		samePass   bool
	}{
		{"worker gone before the download resumes", []error{broken, gone}, nil, true},
		{"no room for the rest", []error{broken, full}, nil, true},
		{"worker gone before the import", nil, gone, true},
		{"file gone", nil, fileGone, true},
		{"superseded", nil, superseded, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "finished")
			inTurn := func(errs ...error) func() error {
				return func() error {
					if len(errs) == 0 {
						return nil
					}
					defer func() { errs = errs[1:] }()
					return errs[0]
				}
			}
			w.onDownload = inTurn(test.onDownload...)
			failImport := inTurn(test.onLoad)
			w.onImport = func(r *activities.ImportRecordsResult) error {
				err := failImport()
				r.Published = err == nil
				return err
			}
			described := 0
			w.onDescribe = func() { described++ }
			require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
			require.Equal(t, 2, described, "on another worker")
			if len(w.imports) == 2 {
				require.Equal(t, test.samePass, w.imports[0].Pass == w.imports[1].Pass)
			}
		})
	}
}

func TestInterruptedDownloadIsResumed(t *testing.T) {
	w := newWorld(t, "finished")
	interrupted := false
	w.onDownload = func() error {
		if interrupted {
			return nil
		}
		interrupted = true
		return temporal.NewApplicationError("broken", "CloudUnavailable")
	}
	var downloads []activities.DownloadScrapingJobInput
	w.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == "DownloadScrapingJob" {
			var in activities.DownloadScrapingJobInput
			require.NoError(t, args.Get(&in))
			downloads = append(downloads, in)
		}
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Equal(t, 1, w.described)
	require.Len(t, downloads, 2)
	require.Equal(t, downloads[0].File, downloads[1].File)
	require.NotNil(t, downloads[0].IfDue)
	require.Nil(t, downloads[1].IfDue)
	require.Equal(t, int64(500), downloads[1].Earlier.Bytes)
}

func TestSignalWhileAnImportFailsRetriesIt(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(r *activities.ImportRecordsResult) error {
		if len(w.imports) > 1 {
			return nil
		}
		w.SignalWorkflow(workflows.ReimportSignal, nil)
		r.Published = false
		return temporal.NewNonRetryableApplicationError("no table", "DatabaseRefuses", nil)
	}
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 2)
}

func TestSignalWhileTheFileIsBeingRemovedIsNotLost(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(*activities.ImportRecordsResult) error {
		if len(w.imports) == 1 {
			return temporal.NewNonRetryableApplicationError("gone", activities.ErrorFileGone, nil)
		}
		return nil
	}
	notFound := make(chan struct{})
	w.onDescribe = func() {
		if w.described == 2 {
			w.found = false
		}
	}
	w.SetOnActivityCompletedListener(func(info *activity.Info, _ converter.EncodedValue, _ error) {
		if info.ActivityType.Name == "DownloadScrapingJob" && w.described == 2 {
			w.RegisterDelayedCallback(func() { close(notFound) }, 0) // after the workflow has the result
		}
	})
	w.onRemove = func() error { // the last activity
		<-notFound
		w.found = true
		w.SignalWorkflowSkippingWorkflowTask(workflows.ReimportSignal, nil)
		return nil
	}
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Equal(t, 3, w.described)
	require.Len(t, w.imports, 2)
}

func TestImportThatKeepsLosingItsFileNeedsAttention(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(*activities.ImportRecordsResult) error {
		return temporal.NewNonRetryableApplicationError("gone", activities.ErrorFileGone, nil)
	}
	w.execute("0")
	require.ErrorContains(t, w.GetWorkflowError(), "gone", "no decision in time")
	require.Less(t, len(w.imports), 20)
	require.Empty(t, w.files)
}

func TestFileIsRemovedWhenTheImportFailsOrIsCanceled(t *testing.T) {
	t.Run("failed", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = func(*activities.ImportRecordsResult) error {
			return temporal.NewNonRetryableApplicationError("no table", "DatabaseRefuses", nil)
		}
		w.execute("0")
		require.ErrorContains(t, w.GetWorkflowError(), "no table")
		require.Empty(t, w.files)
		require.Empty(t, w.deletions)
	})
	t.Run("canceled", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = func(r *activities.ImportRecordsResult) error {
			w.CancelWorkflow()
			r.Published = false
			return errors.New("interrupted")
		}
		w.execute("0")
		_, canceled := errors.AsType[*temporal.CanceledError](w.GetWorkflowError())
		require.True(t, canceled, "%v", w.GetWorkflowError())
		require.Empty(t, w.files)
		require.Empty(t, w.deletions)
	})
	t.Run("canceled during the hold", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.RegisterDelayedCallback(w.CancelWorkflow, time.Hour)
		w.execute("24h")
		require.Error(t, w.GetWorkflowError())
		require.Empty(t, w.deletions)
	})
}

func TestProgressDuringTheHold(t *testing.T) {
	w := newWorld(t, "finished")
	var progress workflows.Progress
	w.RegisterDelayedCallback(func() {
		answer, err := w.QueryWorkflow(workflows.ProgressQuery)
		require.NoError(t, err)
		require.NoError(t, answer.Get(&progress))
	}, time.Hour)
	w.run(t, "24h")
	require.Equal(t, workflows.StepHold, progress.Step)
	require.Equal(t, "my-sitemap", progress.SitemapName)
	require.Equal(t, int64(20), progress.Records)
	require.WithinDuration(t, w.start.Add(24*time.Hour), *progress.DeleteAfter, time.Minute)
}

func TestInvalidInputIsNamed(t *testing.T) {
	for _, test := range []struct {
		name, id string
		in       workflows.ImportScrapingJobInput
		want     []string
	}{
		{"workflow ID", "import-7", workflows.ImportScrapingJobInput{}, []string{`workflow ID "import-7"`}},
		{"another job's ID", "7", workflows.ImportScrapingJobInput{ScrapingJobID: 8}, []string{`workflow ID "7"`, "scrapingjob_id 8"}},
		{"settings", "7", workflows.ImportScrapingJobInput{Settings: workflows.Settings{
			HoldBeforeDelete: "soon", BatchRecords: -1, MaxRecordBytes: 1 << 40, WorkerGoneAfter: "0", HeartbeatTimeout: "x",
			SourceFormat: "xlsx",
		}}, []string{`source_format is "xlsx": want "json" or "csv"`, `hold_before_delete is "soon"`, "batch_records is -1", "max_record_bytes is 1099511627776", `worker_gone_after is "0"`, `heartbeat_timeout is "x"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: test.id})
			w.ExecuteWorkflow(workflows.ImportScrapingJobName, test.in)
			for _, want := range test.want {
				require.ErrorContains(t, w.GetWorkflowError(), want)
			}
		})
	}
}

func TestManuallyStartedWorkflowNeedsNoInput(t *testing.T) {
	w := newWorld(t, "finished")
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.imports, 1)
}

func TestJobDeletedBeforeItsDownloadIsNotFound(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDownload = func() error {
		w.found = false
		return temporal.NewNonRetryableApplicationError("404", activities.ErrorJobGone, nil)
	}
	require.Equal(t, workflows.NotFound, w.run(t, "0").Outcome)
	require.Equal(t, 2, w.described)
	require.Empty(t, w.imports)
}
