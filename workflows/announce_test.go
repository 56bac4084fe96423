package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// announcing is a world whose imports are announced.
type announcing struct {
	*world
	announced []activities.SetAnnouncedInput
	followed  []sink.Publication
	ids       []string
	fails     int // how many attempts to record it fail
}

func followUp(ctx workflow.Context, _ sink.Publication) error {
	return workflow.Sleep(ctx, 10_000*time.Hour)
}

func newAnnouncing(t *testing.T) *announcing {
	t.Helper()
	w := &announcing{world: newWorld(t, "finished")}
	for _, name := range []string{"PriceAlert", "Refused"} {
		w.RegisterWorkflowWithOptions(followUp, workflow.RegisterOptions{Name: name})
	}
	w.RegisterActivityWithOptions(func(_ context.Context, in activities.SetAnnouncedInput) error {
		if w.fails > 0 {
			w.fails--
			return errors.New("the database is unavailable")
		}
		w.announced = append(w.announced, in)
		return nil
	}, activity.RegisterOptions{Name: "SetAnnounced"})
	w.OnWorkflow("PriceAlert", mock.Anything, mock.Anything).Return(func(ctx workflow.Context, in sink.Publication) error {
		w.followed = append(w.followed, in)
		w.ids = append(w.ids, workflow.GetInfo(ctx).WorkflowExecution.ID)
		return followUp(ctx, in)
	})
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Announce = announcement(result.ImportID)
		return nil
	}
	return w
}

func announcement(importID int64) *activities.Announcement {
	return &activities.Announcement{
		Publication: sink.Publication{ScrapingJobID: jobID, SitemapName: "my-sitemap", ImportID: importID, Counts: sink.Counts{Records: 20}},
		FollowUp:    &activities.FollowUp{WorkflowType: "PriceAlert", TaskQueue: "prices"},
	}
}

func TestFollowUpStartsOncePerPublishedImport(t *testing.T) {
	w := newAnnouncing(t)
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.ReimportSignal, nil) }, time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "3h"}})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"scrapingjob-1234-import-1", "scrapingjob-1234-import-2"}, w.ids)
	require.Equal(t, int64(2), w.followed[1].ImportID)
	require.Len(t, w.announced, 2)
	require.Empty(t, w.announced[0].Problem)
}

// Once the job is deleted in the cloud, reconciliation does not find the unannounced import.
func TestJobIsNotDeletedBeforeItsImportIsAnnounced(t *testing.T) {
	w := newAnnouncing(t)
	w.fails = 300 // some five hours
	w.onDelete = func(*activities.DeleteScrapingJobResult) { require.Len(t, w.announced, 1) }
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "0"}})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.deletes, 1)
	require.Empty(t, w.announced[0].Problem)
}

func TestImportLeftUnannouncedByAnEarlierRunIsAnnounced(t *testing.T) {
	w := newAnnouncing(t)
	w.published = &sink.PublishedImport{ScrapingJob: w.job, Counts: sink.Counts{Records: 20}, ImportID: 7, Unannounced: true}
	w.announce = announcement(7)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "0"}})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []string{"scrapingjob-1234-import-7"}, w.ids)
	require.Empty(t, w.imports)
}

func TestFailedFollowUpStartIsTheImportsProblem(t *testing.T) {
	w := newAnnouncing(t)
	w.OnWorkflow("Refused", mock.Anything, mock.Anything).Return(testsuite.ErrMockStartChildWorkflowFailed)
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Announce = announcement(result.ImportID)
		result.Announce.FollowUp.WorkflowType = "Refused"
		return nil
	}
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "0"}})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.announced, 1)
	require.Contains(t, w.announced[0].Problem, "the follow-up workflow Refused on task queue prices was not started: ")
	var result workflows.ImportScrapingJobResult
	require.NoError(t, w.GetWorkflowResult(&result))
	require.Equal(t, workflows.Deleted, result.Outcome, "the records stay published, and the import continues")
	require.Equal(t, w.announced[0].Problem, result.Problem)
}

// reports returns the reports that the workflow "watcher" receives.
func (w *world) reports() *[]contract.ScrapedJob {
	var all []contract.ScrapedJob
	w.OnSignalExternalWorkflow(mock.Anything, "watcher", "", "report", mock.Anything).Return(func(_, _, _, _ string, report any) error {
		all = append(all, *report.(*contract.ScrapedJob))
		return nil
	})
	return &all
}

func TestImportAwaitingTheJobsEndChecksRarely(t *testing.T) {
	w := newWorld(t, "started")
	reports := w.reports()
	w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, time.Second)
	w.RegisterDelayedCallback(func() { w.job.Status = "finished" }, 5*time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		AwaitEnd: true, Settings: workflows.Settings{HoldBeforeDelete: "1h"},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.imports, 1)
	require.Less(t, w.described, 35, "checks are API calls, and become rare")
	require.WithinDuration(t, w.start.Add(6*time.Hour), w.start.Add(w.deletions[0]), 20*time.Minute)
	require.Equal(t, contract.Published, (*reports)[0].Outcome)
	require.Equal(t, int64(20), (*reports)[0].Records)
	require.Len(t, *reports, 1, "the end of a published import is not reported")
}

func TestNotificationEndsTheWaitForTheJobsEnd(t *testing.T) {
	w := newWorld(t, "started")
	w.RegisterDelayedCallback(func() {
		w.job.Status = "finished"
		w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Status: "finished"})
	}, 3*time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{AwaitEnd: true, Settings: workflows.Settings{HoldBeforeDelete: "0"}})
	require.NoError(t, w.GetWorkflowError())
	require.Less(t, w.deletions[0], 3*time.Hour+30*time.Second)
}

func TestWaitForTheJobsEndCanBeAbandoned(t *testing.T) {
	w := newWorld(t, "started")
	w.RegisterDelayedCallback(func() {
		require.Equal(t, []string{workflows.AbandonSignal}, w.progress(t).Signals)
		require.Equal(t, workflows.StepScrape, w.progress(t).Step)
		w.SignalWorkflow(workflows.AbandonSignal, nil)
	}, time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{AwaitEnd: true})
	require.NoError(t, w.GetWorkflowError())
	var result workflows.ImportScrapingJobResult
	require.NoError(t, w.GetWorkflowResult(&result))
	require.Equal(t, workflows.Abandoned, result.Outcome)
}

func TestWatchersReceiveQuestionsAndTheirAnswers(t *testing.T) {
	w := newWorld(t, "finished")
	reports := w.reports()
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Rejected = 1
		return nil
	}
	w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, time.Hour)
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.AcceptSignal, nil) }, 2*time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "1h"}})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, contract.NeedsAttention, (*reports)[0].Outcome)
	require.Contains(t, (*reports)[0].Reason, "accept")
	require.Equal(t, contract.Published, (*reports)[1].Outcome)
	require.Len(t, *reports, 2)
}

// Otherwise each one would download and import all records again.
func TestWatchersTriggerNoImportWhileAQuestionIsOpen(t *testing.T) {
	w := newWorld(t, "finished")
	reports := w.reports()
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Published, result.Question = false, &sink.Question{Kind: sink.TooFewRecords, Reason: "too few"}
		return nil
	}
	for hour := range 3 { // as a waiting run does, in case the import was terminated
		w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, time.Duration(hour+1)*time.Hour)
	}
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.AbandonSignal, nil) }, 5*time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.imports, 1)
	require.Len(t, *reports, 4)
	require.Equal(t, contract.NeedsAttention, (*reports)[2].Outcome)
	require.Equal(t, contract.Ended, (*reports)[3].Outcome)
}

// For instance, the run is repeated after the job was imported and deleted.
func TestWatchedJobThatIsGoneIsReportedAsPublished(t *testing.T) {
	w := newWorld(t, "finished")
	reports := w.reports()
	w.job.JobsFailed = 3
	w.found, w.published = false, &sink.PublishedImport{ScrapingJob: w.job, Counts: sink.Counts{Records: 20}, ImportID: 7}
	w.onDescribe = func() {
		if w.described == 1 {
			w.SignalWorkflow("watch", "watcher")
		}
	}
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{AwaitEnd: true})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, []contract.ScrapedJob{{
		ScrapingJobID: jobID, Account: sink.DefaultAccount, SitemapName: "my-sitemap", Status: "finished", JobsFailed: 3,
		Outcome: contract.Published, ImportID: 7, Counts: sink.Counts{Records: 20},
	}}, *reports)
}

func TestJobDeletedBeforeItWasFullyImportedIsNotReportedAsPublished(t *testing.T) {
	deleted := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		deletedAt *time.Time // after the missing records were accepted
		want      contract.Outcome
	}{
		"by another program": {want: contract.Ended}, "by scrapehaul": {deletedAt: &deleted, want: contract.Published},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			reports := w.reports()
			w.found, w.published = false, &sink.PublishedImport{ScrapingJob: w.job, Counts: sink.Counts{Records: 10}, ImportID: 7, CloudDeletedAt: c.deletedAt}
			w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, 0)
			w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{AwaitEnd: true})
			require.NoError(t, w.GetWorkflowError())
			require.Equal(t, c.want, (*reports)[len(*reports)-1].Outcome)
		})
	}
}

func TestImportEndingWithEarlierContentIsNotReportedAsPublished(t *testing.T) {
	w := newWorld(t, "finished")
	reports := w.reports()
	earlier := w.job
	earlier.Status = "stopped"
	w.published = &sink.PublishedImport{ScrapingJob: earlier, Counts: sink.Counts{Records: 10}, ImportID: 7}
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Published, result.Question = false, &sink.Question{Kind: sink.TooFewRecords, Reason: "too few"}
		return nil
	}
	w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, time.Hour)
	w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.KeepSignal, nil) }, 5*time.Hour)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{})
	require.NoError(t, w.GetWorkflowError())
	require.Equal(t, contract.Ended, (*reports)[len(*reports)-1].Outcome)
}

// The run stays open while its files are removed, which may take a while.
func TestLateWatcherStillGetsAReport(t *testing.T) {
	for name, kind := range map[string]string{"published": activities.ErrorFileGone, "not published": "DatabaseRefuses"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			reports := w.reports()
			w.onImport = func(*activities.ImportRecordsResult) error {
				if len(w.imports) == 1 {
					return temporal.NewNonRetryableApplicationError("refused", kind, nil)
				}
				return nil
			}
			w.onRemove = func() error {
				if w.Now().Before(w.start.Add(20 * time.Second)) {
					return errors.New("busy")
				}
				return nil
			}
			w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.AbandonSignal, nil) }, 2*time.Second)
			w.RegisterDelayedCallback(func() { w.SignalWorkflow("watch", "watcher") }, 10*time.Second)
			w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{Settings: workflows.Settings{HoldBeforeDelete: "never"}})
			require.NoError(t, w.GetWorkflowError())
			require.Len(t, w.imports, 2)
			require.NotEmpty(t, *reports)
			require.Equal(t, contract.Published, (*reports)[0].Outcome)
		})
	}
}

func TestWatchingOverridesTheFilter(t *testing.T) {
	w := newWorld(t, "finished")
	reports := w.reports()
	w.outside = "the tag is another one"
	w.onDescribe = func() {
		if w.described == 1 {
			w.SignalWorkflow("watch", "watcher")
		}
	}
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Settings: workflows.Settings{HoldBeforeDelete: "0", Filter: activities.Filter{Tag: "prices"}},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.imports, 1)
	require.Equal(t, contract.Published, (*reports)[len(*reports)-1].Outcome)
}
