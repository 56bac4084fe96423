package workflows_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// scraping fakes a cloud that creates jobs, and their imports, as RunSitemap sees them.
type scraping struct {
	*testsuite.TestWorkflowEnvironment
	created []activities.CreateScrapingJobInput
	imports []workflows.ImportScrapingJobInput
	// onCreate, if set, replaces the creation of a job with a new ID.
	onCreate func(activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error)
	// onImport is the import; nil never ends.
	onImport func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error
}

func newScraping(t *testing.T) *scraping {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	s := &scraping{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment()}
	workflows.Register(s)
	s.RegisterWorkflowWithOptions(host, workflow.RegisterOptions{Name: "Host"})
	s.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: "my-run"})
	s.RegisterActivityWithOptions(s.create, activity.RegisterOptions{Name: "CreateScrapingJob"})
	s.RegisterActivityWithOptions(func(context.Context) (workflows.Settings, error) {
		return workflows.Settings{HoldBeforeDelete: "1m", BatchRecords: 77, Filter: activities.Filter{Statuses: []string{"stopped"}}}, nil
	}, activity.RegisterOptions{Name: "ReadInstallationSettings"})
	s.OnWorkflow(workflows.ImportScrapingJobName, mock.Anything, mock.Anything).Return(
		func(ctx workflow.Context, in workflows.ImportScrapingJobInput) (workflows.ImportScrapingJobResult, error) {
			s.imports = append(s.imports, in)
			if s.onImport == nil {
				return workflows.ImportScrapingJobResult{}, workflow.Sleep(ctx, 10_000*time.Hour)
			}
			return workflows.ImportScrapingJobResult{}, s.onImport(ctx, in)
		})
	s.SetTestTimeout(time.Minute)
	return s
}

func (s *scraping) create(_ context.Context, in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
	s.created = append(s.created, in)
	if s.onCreate != nil {
		return s.onCreate(in)
	}
	return activities.CreateScrapingJobResult{ScrapingJobID: 500 + int64(len(s.created))}, nil
}

func (s *scraping) report(ctx workflow.Context, job contract.ScrapedJob) {
	//workflowcheck:ignore // a mock, not a workflow
	if err := s.SignalWorkflowByID(workflow.GetInfo(ctx).ParentWorkflowExecution.ID, "report", job); err != nil {
		panic(err)
	}
}

// reports makes each import send these reports, an hour apart.
func (s *scraping) reports(jobs ...contract.ScrapedJob) {
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		for _, job := range jobs {
			_ = workflow.Sleep(ctx, time.Hour)
			job.ScrapingJobID = in.ScrapingJobID
			s.report(ctx, job)
		}
		return workflow.Sleep(ctx, 1000*time.Hour) // its hold
	}
}

func (s *scraping) run(in workflows.RunSitemapInput) (result contract.RunSitemapResult, err error) {
	s.ExecuteWorkflow(workflows.RunSitemapName, in)
	if err := s.GetWorkflowError(); err != nil {
		return result, err
	}
	return result, s.GetWorkflowResult(&result)
}

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func sitemap(change func(*workflows.RunSitemapInput)) workflows.RunSitemapInput {
	in := workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{SitemapID: 12}}
	if change != nil {
		change(&in)
	}
	return in
}

func scraped(status string, outcome contract.Outcome) contract.ScrapedJob {
	return contract.ScrapedJob{Status: status, Outcome: outcome, ImportID: 9, Counts: sink.Counts{Records: 20}, Reason: "because"}
}

func TestSitemapIsRunUntilItsRecordsArePublished(t *testing.T) {
	s := newScraping(t)
	s.reports(scraped("finished", contract.Published))
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) {
		in.PageLoadDelay, in.Proxy, in.StartURLs, in.MinPageCredits = 1500, "1", []string{"https://example.com"}, 7
	}))
	require.NoError(t, err)
	require.Equal(t, int64(501), result.ScrapingJobID)
	require.Equal(t, contract.Published, result.Outcome)
	require.Equal(t, int64(20), result.Records)
	require.Empty(t, result.Reruns)
	require.Len(t, s.created, 1)
	require.True(t, strings.HasPrefix(s.created[0].CustomID, "scrapehaul-"), s.created[0].CustomID)
	require.Equal(t, activities.CreateScrapingJobInput{
		Account: sink.DefaultAccount, SitemapID: 12, Driver: "fast", PageLoadDelay: 1500 * time.Millisecond, RequestInterval: 2 * time.Second, Proxy: "1",
		StartURLs: []string{"https://example.com"}, CustomID: s.created[0].CustomID, MinPageCredits: 7,
	}, s.created[0])
	require.Len(t, s.imports, 1)
	require.True(t, s.imports[0].AwaitEnd)
	require.Equal(t, 77, s.imports[0].Settings.BatchRecords, "the installation's settings")
	require.Empty(t, s.imports[0].Settings.Filter, "a run imports all its jobs")
}

func TestPoliciesReturnWaitOrFail(t *testing.T) {
	finished := scraped("finished", contract.Published)
	for name, test := range map[string]struct {
		notFinished, attention contract.Policy
		first                  contract.ScrapedJob
		outcome                contract.Outcome // of the first, if not of what comes later
		errorType              string
		waits                  bool
	}{
		"failed, by default":            {first: scraped("failed", contract.Published), outcome: contract.Published},
		"stopped, returned":             {notFinished: contract.Return, first: scraped("stopped", contract.Published), outcome: contract.Published},
		"failed, waited for":            {notFinished: contract.Wait, first: scraped("failed", contract.Published), waits: true},
		"failed, an error":              {notFinished: contract.Fail, first: scraped("failed", contract.Published), errorType: contract.ErrorNotFinished},
		"attention, by default":         {first: scraped("finished", contract.NeedsAttention), waits: true},
		"attention, returned":           {attention: contract.Return, first: scraped("finished", contract.NeedsAttention), outcome: contract.NeedsAttention},
		"attention, an error":           {attention: contract.Fail, first: scraped("finished", contract.NeedsAttention), errorType: contract.ErrorNeedsAttention},
		"ended, by default":             {first: scraped("finished", contract.Ended), errorType: contract.ErrorNotPublished},
		"ended, returned":               {attention: contract.Return, first: scraped("finished", contract.Ended), outcome: contract.Ended},
		"ended, and attention fails":    {attention: contract.Fail, first: scraped("finished", contract.Ended), errorType: contract.ErrorNotPublished},
		"finished, whatever the policy": {notFinished: contract.Fail, attention: contract.Fail, first: finished, outcome: contract.Published},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScraping(t)
			s.reports(test.first, finished)
			began := s.Now()
			result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) {
				in.IfNotFinished, in.IfNeedsAttention = test.notFinished, test.attention
			}))
			if test.errorType != "" {
				failure, ok := errors.AsType[*temporal.ApplicationError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, test.errorType, failure.Type())
				require.Contains(t, failure.Message(), "scraping job 501")
				var job contract.ScrapedJob
				require.NoError(t, failure.Details(&job))
				require.Equal(t, int64(501), job.ScrapingJobID)
				return
			}
			require.NoError(t, err)
			if test.waits {
				require.GreaterOrEqual(t, s.Now().Sub(began), 2*time.Hour)
				require.Equal(t, "finished", result.Status)
				require.Equal(t, contract.Published, result.Outcome)
				return
			}
			require.Equal(t, test.outcome, result.Outcome)
			require.Equal(t, test.first.Status, result.Status)
		})
	}
}

func TestTimeLimitOfARunSaysWhatContinues(t *testing.T) {
	s := newScraping(t)
	s.reports(scraped("finished", contract.NeedsAttention))
	_, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.TimeLimit = "90m" }))
	require.Contains(t, detailsIn(t, s.TestWorkflowEnvironment), "**failed**: sitemap 12 was not scraped and published within 1h30m0s")
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, contract.ErrorTimeLimit, failure.Type())
	require.Contains(t, failure.Message(), "scraping job 501 keeps running in Web Scraper Cloud")
}

func TestRunEndingWhileItWaitsForCallsHasCreatedNothing(t *testing.T) {
	s := newScraping(t)
	s.onCreate = func(activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		return activities.CreateScrapingJobResult{Wait: 10 * time.Minute}, nil
	}
	_, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.TimeLimit = "25m" }))
	require.ErrorContains(t, err, "no scraping job was created")

	s = newScraping(t)
	s.onCreate = func(in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		if in.RerunOf != 0 {
			return activities.CreateScrapingJobResult{Wait: 10 * time.Minute}, nil
		}
		return activities.CreateScrapingJobResult{ScrapingJobID: 501}, nil
	}
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		job := scraped("finished", contract.Published)
		job.ScrapingJobID, job.JobsFailed = in.ScrapingJobID, 2
		s.report(ctx, job)
		return nil
	}
	_, err = s.run(sitemap(func(in *workflows.RunSitemapInput) { in.TimeLimit, in.MaxReruns = "25m", 1 }))
	require.ErrorContains(t, err, "scraping job 501 is published, and none was created for its failed and empty URLs")
}

func TestCanceledRunLeavesTheJobAndItsImport(t *testing.T) {
	s := newScraping(t)
	canceled := false
	s.onImport = func(ctx workflow.Context, _ workflows.ImportScrapingJobInput) error {
		err := workflow.Sleep(ctx, 24*time.Hour)
		canceled = err != nil
		return err
	}
	s.RegisterDelayedCallback(s.CancelWorkflow, time.Hour)
	_, err := s.run(sitemap(nil))
	require.True(t, temporal.IsCanceledError(err), "%v", err)
	require.False(t, canceled, "the import continues")
}

func TestFailedAndEmptyURLsAreScrapedAgain(t *testing.T) {
	s := newScraping(t)
	s.onCreate = func(in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		return activities.CreateScrapingJobResult{ScrapingJobID: 500 + int64(len(s.created))}, nil
	}
	left := []int64{3, 1, 0}
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		job := scraped("finished", contract.Published)
		job.ScrapingJobID, job.JobsFailed = in.ScrapingJobID, left[0]
		left = left[1:]
		s.report(ctx, job)
		return workflow.Sleep(ctx, 1000*time.Hour)
	}
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.MaxReruns, in.StartURLs = 5, []string{"https://example.com"} }))
	require.NoError(t, err)
	require.Equal(t, int64(501), result.ScrapingJobID)
	require.Len(t, result.Reruns, 2)
	require.Len(t, s.created, 3)
	require.Equal(t, int64(501), s.created[1].RerunOf)
	require.Equal(t, int64(502), s.created[2].RerunOf)
	require.Empty(t, s.created[1].StartURLs)
	require.NotEqual(t, s.created[0].CustomID, s.created[1].CustomID)
	require.Equal(t, "10m0s", s.imports[0].Settings.HoldBeforeDelete, "the API has no such URLs of a deleted job")
}

func TestFailedRerunKeepsTheResult(t *testing.T) {
	s := newScraping(t)
	s.onCreate = func(in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		if in.RerunOf != 0 {
			return activities.CreateScrapingJobResult{}, temporal.NewNonRetryableApplicationError("the job is deleted", "NotCreated", nil)
		}
		return activities.CreateScrapingJobResult{ScrapingJobID: 501}, nil
	}
	job := scraped("finished", contract.Published)
	job.JobsEmpty = 3
	s.reports(job)
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.MaxReruns = 2 }))
	require.NoError(t, err)
	require.Equal(t, contract.Published, result.Outcome)
	require.Equal(t, "its failed and empty URLs were not scraped again: the job is deleted", result.Problem)
}

func TestCustomIDNamesOneRun(t *testing.T) {
	there := int64(0)
	find := func(in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		if in.FindOnly {
			return activities.CreateScrapingJobResult{ScrapingJobID: there}, nil
		}
		return activities.CreateScrapingJobResult{ScrapingJobID: 600}, nil
	}
	own := sitemap(func(in *workflows.RunSitemapInput) { in.CustomID = "order-17" })

	s := newScraping(t)
	s.onCreate = find
	s.reports(scraped("finished", contract.Published))
	result, err := s.run(own)
	require.NoError(t, err)
	require.Equal(t, int64(600), result.ScrapingJobID)
	require.Equal(t, "order-17", s.created[1].CustomID)

	there = 444
	s = newScraping(t)
	s.onCreate = find
	_, err = s.run(own)
	require.ErrorContains(t, err, `scraping job 444 of sitemap 12 already has custom_id "order-17"`)
	require.Len(t, s.created, 1)

	s = newScraping(t)
	s.onCreate = find
	s.reports(scraped("finished", contract.Published))
	own.Resume = true
	result, err = s.run(own)
	require.NoError(t, err)
	require.Equal(t, int64(444), result.ScrapingJobID)

	s = newScraping(t)
	s.reports(scraped("finished", contract.Published))
	_, err = s.run(sitemap(func(in *workflows.RunSitemapInput) { in.CustomID = "daily/{run}" }))
	require.NoError(t, err)
	require.Regexp(t, `^daily/scrapehaul-[0-9a-f]{12}$`, s.created[0].CustomID)
}

func TestRunWaitsForCallsOfTheAPI(t *testing.T) {
	s := newScraping(t)
	s.reports(scraped("finished", contract.Published))
	s.onCreate = func(activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		if len(s.created) == 1 {
			return activities.CreateScrapingJobResult{Wait: 10 * time.Minute}, nil
		}
		return activities.CreateScrapingJobResult{ScrapingJobID: 600}, nil
	}
	result, err := s.run(sitemap(nil))
	require.NoError(t, err)
	require.Equal(t, int64(600), result.ScrapingJobID)
	require.Equal(t, s.created[0], s.created[1])
}

func TestImportThatEndsWithoutAReportIsRestarted(t *testing.T) {
	s := newScraping(t)
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		if len(s.imports) == 1 {
			return errors.New("terminated")
		}
		job := scraped("finished", contract.Published)
		job.ScrapingJobID = in.ScrapingJobID
		s.report(ctx, job)
		return workflow.Sleep(ctx, 1000*time.Hour)
	}
	result, err := s.run(sitemap(nil))
	require.NoError(t, err)
	require.Equal(t, contract.Published, result.Outcome)
	require.Len(t, s.imports, 2)
	require.Len(t, s.created, 1)
}

// The import of a failed job ends, as the job stays in the cloud.
func TestRunWaitingForAnOperatorChecksRarely(t *testing.T) {
	s := newScraping(t)
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		job := scraped("failed", contract.Published)
		if s.Now().After(began.Add(5 * time.Hour)) { // the job was continued
			job.Status = "finished"
		}
		job.ScrapingJobID = in.ScrapingJobID
		s.report(ctx, job)
		return nil
	}
	s.SetStartTime(began)
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.IfNotFinished = contract.Wait }))
	require.NoError(t, err)
	require.Equal(t, "finished", result.Status)
	require.Less(t, len(s.imports), 10)
}

func TestLongWaitForAnOperatorContinuesAsNewRun(t *testing.T) {
	// next returns a cloud whose first job has failed URLs, and whose next is stopped until then.
	next := func(starts, continued time.Time) *scraping {
		s := newScraping(t)
		s.SetStartTime(starts)
		s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
			job := scraped("finished", contract.Published)
			job.ScrapingJobID, job.JobsFailed = in.ScrapingJobID, 2
			if in.ScrapingJobID == 502 && s.Now().Before(continued) {
				job.Status = "stopped"
			}
			s.report(ctx, job)
			return nil
		}
		return s
	}
	in := sitemap(func(in *workflows.RunSitemapInput) {
		in.IfNotFinished, in.MaxReruns, in.TimeLimit = contract.Wait, 1, "100h"
	})
	s := next(began, began.Add(60*time.Hour))
	s.RegisterDelayedCallback(func() { s.SetContinueAsNewSuggested(true) }, 49*time.Hour)
	_, err := s.run(in)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &again)
	require.WithinRange(t, s.Now(), began.Add(49*time.Hour), began.Add(50*time.Hour))
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))

	s = next(began.Add(50*time.Hour), began.Add(60*time.Hour))
	result, err := s.run(in)
	require.NoError(t, err)
	require.Equal(t, int64(501), result.ScrapingJobID)
	require.Len(t, result.Reruns, 1)
	require.Equal(t, int64(502), result.Reruns[0].ScrapingJobID)
	require.Equal(t, "finished", result.Reruns[0].Status)
	require.Empty(t, s.created)

	s = next(began.Add(50*time.Hour), began.Add(200*time.Hour))
	_, err = s.run(in)
	require.ErrorContains(t, err, "was not scraped and published within 100h0m0s")
	require.Equal(t, began.Add(100*time.Hour), s.Now().UTC())
}

// Workers of an earlier build do not report to watchers.
func TestImportsThatEndWithoutAReportAreRestartedWithBackoff(t *testing.T) {
	s := newScraping(t)
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		if s.Now().After(began.Add(5 * time.Hour)) {
			job := scraped("finished", contract.Published)
			job.ScrapingJobID = in.ScrapingJobID
			s.report(ctx, job)
		}
		return nil
	}
	s.SetStartTime(began)
	_, err := s.run(sitemap(nil))
	require.NoError(t, err)
	require.Less(t, len(s.imports), 20)
}

func TestLateReportDoesNotLeakIntoTheNext(t *testing.T) {
	s := newScraping(t)
	s.onImport = func(ctx workflow.Context, in workflows.ImportScrapingJobInput) error {
		late := scraped("finished", contract.Published)
		late.ScrapingJobID, late.JobsFailed = 501, 3
		s.report(ctx, late)
		if in.ScrapingJobID != 501 {
			job := scraped("finished", contract.Published)
			job.ScrapingJobID = in.ScrapingJobID
			s.report(ctx, job)
		}
		return workflow.Sleep(ctx, 1000*time.Hour)
	}
	result, err := s.run(sitemap(func(in *workflows.RunSitemapInput) { in.MaxReruns = 2 }))
	require.NoError(t, err)
	require.Len(t, result.Reruns, 1)
}

func TestEveryInvalidOptionOfARunIsNamed(t *testing.T) {
	s := newScraping(t)
	_, err := s.run(workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{
		PageLoadDelay: -1, RequestInterval: -1, TimeLimit: "soon", IfNotFinished: "cry", IfNeedsAttention: "laugh", MaxReruns: -1, MinPageCredits: -1,
	}})
	for _, name := range []string{
		"sitemap_id is 0", "page_load_delay is -1", "request_interval is -1", `time_limit is "soon"`,
		`if_not_finished is "cry"`, `if_needs_attention is "laugh"`, "max_reruns is -1", "min_page_credits is -1",
	} {
		require.ErrorContains(t, err, name)
	}
	require.Empty(t, s.created)
}

func host(ctx workflow.Context) (int64, error) {
	result, err := workflows.RunSitemap(ctx, sitemap(nil))
	return result.Records, err
}

func TestRunIsAStepOfAHostsWorkflow(t *testing.T) {
	s := newScraping(t)
	s.reports(scraped("finished", contract.Published))
	s.ExecuteWorkflow("Host")
	require.NoError(t, s.GetWorkflowError())
	var records int64
	require.NoError(t, s.GetWorkflowResult(&records))
	require.Equal(t, int64(20), records)
}
