package workflows

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// RunSitemapName is the registered name of the workflow RunSitemap, which scrapes a sitemap.
const RunSitemapName = "RunSitemap"

// thisRun in a custom ID is replaced by text unique to the run.
const thisRun = "{run}"

// minHoldOfReruns is the minimum hold of a job whose failed and empty URLs may be scraped
// again: for a deleted job, the API does not return them.
const minHoldOfReruns = 10 * time.Minute

// watchAgainAfter is how often to check that an import without a report is still running:
// it may have been terminated.
const watchAgainAfter = time.Hour

// RunSitemapInput is the input of the workflow RunSitemap.
type RunSitemapInput struct {
	contract.RunSitemapInput

	// Settings of the import. The filter is ignored: RunSitemap imports every job it
	// creates. Default: the installation's.
	Settings *Settings `json:"settings,omitempty"`
	// Carried is set by continue-as-new.
	Carried *carriedRun `json:"carried,omitempty"`
}

// carriedRun is the state that a run waiting for a job hands to the next one.
type carriedRun struct {
	JobID int64                 `json:"job_id"`
	Jobs  []contract.ScrapedJob `json:"jobs,omitempty"`
	Fails time.Time             `json:"fails,omitzero"`
}

// RunSitemap scrapes a sitemap from a host's workflow: it runs the workflow of the same
// name as a child, and returns when the records are published; see
// [contract.RunSitemapInput]. If scrapehaul's worker polls a different task queue than the
// host's, set that one in the child workflow options of ctx.
func RunSitemap(ctx workflow.Context, in RunSitemapInput) (contract.RunSitemapResult, error) {
	options := workflow.GetChildWorkflowOptions(ctx)
	options.StaticSummary = cmp.Or(options.StaticSummary, runSummary(in))
	var result contract.RunSitemapResult
	err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), RunSitemapName, in).Get(ctx, &result)
	return result, err
}

func runSummary(in RunSitemapInput) string { return fmt.Sprintf("run sitemap %d", in.SitemapID) }

// runSitemap is the workflow. It creates a scraping job and starts its import as a child
// that outlives it, waits for the job's end and reports back.
func runSitemap(ctx workflow.Context, in RunSitemapInput) (contract.RunSitemapResult, error) {
	r, err := newSitemapRun(ctx, in)
	if err != nil {
		return contract.RunSitemapResult{}, err
	}
	err = r.run(ctx)
	r.waits = ""
	switch {
	case err == nil:
		r.show(ctx, "done", "")
	case temporal.IsCanceledError(err):
		r.show(ctx, "canceled", ": "+r.left())
		workflow.GetLogger(ctx).Info("RunSitemap canceled", "scraping_job", r.left())
	case workflow.IsContinueAsNewError(err):
	default:
		r.show(ctx, "failed", ": "+Sentence(err))
	}
	return r.result(), err
}

type sitemapRun struct {
	in        RunSitemapInput
	settings  settings
	timeLimit time.Duration // 0 for none
	reports   workflow.ReceiveChannel

	// creating is set while a job may exist whose ID is not known yet; jobID is the job
	// that the run waits for.
	creating bool
	jobID    int64
	waits    string // "" once it has ended
	since    time.Time
	fails    time.Time // with a time limit
	jobs     []contract.ScrapedJob
}

func newSitemapRun(ctx workflow.Context, in RunSitemapInput) (*sitemapRun, error) {
	in.Account = cmp.Or(in.Account, sink.DefaultAccount)
	in.Driver, in.CustomID = cmp.Or(in.Driver, "fast"), cmp.Or(in.CustomID, thisRun)
	in.PageLoadDelay, in.RequestInterval = cmp.Or(in.PageLoadDelay, 2000), cmp.Or(in.RequestInterval, 2000)
	in.IfNotFinished, in.IfNeedsAttention = cmp.Or(in.IfNotFinished, contract.Return), cmp.Or(in.IfNeedsAttention, contract.Wait)
	r := &sitemapRun{in: in, reports: workflow.GetSignalChannel(ctx, reportSignal)}
	var problems []error
	number := func(name string, value, least int64) {
		if value < least {
			problems = append(problems, fmt.Errorf("%s is %d: want at least %d", name, value, least))
		}
	}
	policy := func(name string, value contract.Policy) {
		if value != contract.Return && value != contract.Wait && value != contract.Fail {
			problems = append(problems, fmt.Errorf("%s is %q: want %q, %q or %q", name, value, contract.Return, contract.Wait, contract.Fail))
		}
	}
	if err := validate.Account("account", in.Account); err != nil {
		problems = append(problems, err)
	}
	number("sitemap_id", in.SitemapID, 1)
	number("page_load_delay", in.PageLoadDelay, 0)
	number("request_interval", in.RequestInterval, 0)
	number("max_reruns", int64(in.MaxReruns), 0)
	number("min_page_credits", in.MinPageCredits, 0)
	policy("if_not_finished", in.IfNotFinished)
	policy("if_needs_attention", in.IfNeedsAttention)
	if in.TimeLimit != "" {
		var err error
		if r.timeLimit, err = time.ParseDuration(in.TimeLimit); err != nil || r.timeLimit <= 0 {
			problems = append(problems, fmt.Errorf("time_limit is %q: want a duration like %q", in.TimeLimit, "2h"))
		}
	}
	if len(problems) > 0 {
		return nil, invalidInput(errors.Join(problems...))
	}
	if r.timeLimit > 0 {
		r.fails = workflow.Now(ctx).Add(r.timeLimit)
	}
	if c := in.Carried; c != nil {
		r.jobID, r.jobs, r.fails = c.JobID, c.Jobs, c.Fails
	}
	return r, workflow.SetQueryHandlerWithOptions(ctx, ProgressQuery, r.progress,
		workflow.QueryHandlerOptions{Description: "What RunSitemap waits for, and what it has scraped so far."})
}

// run scrapes the sitemap, then its failed and empty URLs up to MaxReruns times.
func (r *sitemapRun) run(ctx workflow.Context) error {
	limited, cancel := workflow.WithCancel(ctx)
	defer cancel()
	if r.timeLimit > 0 {
		workflow.Go(limited, func(limited workflow.Context) {
			if workflow.NewTimerWithOptions(limited, r.fails.Sub(workflow.Now(limited)), workflow.TimerOptions{Summary: "time_limit"}).Get(limited, nil) == nil {
				cancel()
			}
		})
	}
	err := r.readSettings(limited)
	for rerun := len(r.jobs); err == nil && rerun <= r.in.MaxReruns; rerun++ {
		if carried := r.in.Carried; carried == nil || rerun > len(carried.Jobs) {
			err = r.create(limited, rerun)
		}
		if refused, ok := errors.AsType[*temporal.ApplicationError](err); ok && rerun > 0 {
			last := &r.jobs[rerun-1] // published nevertheless
			last.Problem = strings.TrimPrefix(last.Problem+"; its failed and empty URLs were not scraped again: "+Sentence(refused), "; ")
			return nil
		}
		if err != nil || r.jobID == 0 {
			break
		}
		var job contract.ScrapedJob
		if job, err = r.await(limited); err != nil {
			break
		}
		r.jobs = append(r.jobs, job)
		if job.Outcome != contract.Published || job.JobsFailed+job.JobsEmpty == 0 {
			break
		}
	}
	if temporal.IsCanceledError(err) && ctx.Err() == nil {
		reason := fmt.Sprintf("sitemap %d was not scraped and published within %s (time_limit): %s", r.in.SitemapID, r.timeLimit, r.left())
		return temporal.NewNonRetryableApplicationError(reason, contract.ErrorTimeLimit, nil, contract.ScrapedJob{ScrapingJobID: r.jobID})
	}
	return err
}

// readSettings reads the settings of imports, without the filter: a run always imports its
// jobs.
func (r *sitemapRun) readSettings(ctx workflow.Context) error {
	if r.in.Settings == nil {
		if err := workflow.ExecuteActivity(shortStep(ctx, "read the settings of imports"), installationSettingsName).Get(ctx, &r.in.Settings); err != nil {
			return err
		}
	}
	chosen := *r.in.Settings
	chosen.Filter = activities.Filter{}
	parsed, problems := chosen.parse()
	if len(problems) > 0 {
		return invalidInput(errors.Join(problems...))
	}
	if r.in.MaxReruns > 0 && !parsed.neverDelete && parsed.hold < minHoldOfReruns {
		parsed.HoldBeforeDelete = minHoldOfReruns.String()
	}
	r.settings = parsed
	return nil
}

// create sets jobID: it finds the job of an earlier run or attempt, or creates one. jobID
// is 0 when there is nothing to scrape again.
func (r *sitemapRun) create(ctx workflow.Context, rerun int) error {
	r.jobID = 0
	info := workflow.GetInfo(ctx)
	first := cmp.Or(info.FirstRunID, info.WorkflowExecution.RunID) // retries and resets keep the first run's
	if info.CronSchedule != "" {
		first = info.OriginalRunID
	}
	earlierRun := info.WorkflowExecution.RunID != first
	in := activities.CreateScrapingJobInput{
		Account: r.in.Account, SitemapID: r.in.SitemapID, Driver: r.in.Driver, Proxy: r.in.Proxy, StartURLs: r.in.StartURLs,
		PageLoadDelay:   time.Duration(r.in.PageLoadDelay) * time.Millisecond,
		RequestInterval: time.Duration(r.in.RequestInterval) * time.Millisecond,
		CustomID:        r.in.CustomID, MayExist: earlierRun, MinPageCredits: r.in.MinPageCredits,
	}
	if rerun > 0 {
		in.CustomID += fmt.Sprintf("-rerun-%d", rerun)
		in.RerunOf = r.jobs[rerun-1].ScrapingJobID
		in.StartURLs = nil
	}
	token := sha256.Sum256([]byte(info.WorkflowExecution.ID + "/" + first))
	chosen := in.CustomID
	in.CustomID = strings.ReplaceAll(chosen, thisRun, fmt.Sprintf("scrapehaul-%x", token[:6]))
	if in.CustomID == chosen {
		find := in
		find.FindOnly = true
		there, err := r.callCreate(ctx, find, "find the job with custom_id "+in.CustomID)
		switch {
		case err != nil:
			return err
		case there != 0 && !earlierRun && !r.in.Resume:
			reason := fmt.Sprintf("scraping job %d of sitemap %d already has custom_id %q, and workflow %d imports it: choose another custom_id, or one with %s in it", there, in.SitemapID, in.CustomID, there, thisRun)
			return temporal.NewNonRetryableApplicationError(reason, contract.ErrorCustomIDTaken, nil, contract.ScrapedJob{ScrapingJobID: there})
		case there != 0:
			r.jobID = there
			return nil
		}
	}
	var err error
	r.jobID, err = r.callCreate(ctx, in, fmt.Sprintf("create a scraping job of sitemap %d", in.SitemapID))
	return err
}

// callCreate runs the activity as soon as the API budget allows. A cancellation waits for
// it, because only the activity knows whether a job exists.
func (r *sitemapRun) callCreate(ctx workflow.Context, in activities.CreateScrapingJobInput, summary string) (int64, error) {
	for {
		r.waitFor(ctx, "Web Scraper Cloud to "+summary)
		var created activities.CreateScrapingJobResult
		creating := workflow.WithWaitForCancellation(r.settings.cloudCall(ctx, truncate(summary, maxSummary)), true)
		r.creating = !in.FindOnly
		err := workflow.ExecuteActivity(creating, a.CreateScrapingJob, in).Get(ctx, &created)
		r.creating = in.MayExist || r.creating && err != nil
		if err != nil || created.Wait == 0 {
			return created.ScrapingJobID, err
		}
		r.waitFor(ctx, waitForCalls)
		err = workflow.NewTimerWithOptions(ctx, created.Wait, workflow.TimerOptions{Summary: "waiting for " + waitForCalls}).Get(ctx, nil)
		if err != nil {
			return 0, err
		}
	}
}

// await waits until the job's import reports something that ends the wait. An import that
// closes without a report is restarted: for instance, it was terminated, or a worker of an
// earlier build closes it each time. The import reports to a new run again, too.
func (r *sitemapRun) await(ctx workflow.Context) (job contract.ScrapedJob, err error) {
	r.waitFor(ctx, "scraping job "+WorkflowID(r.jobID)+" to end and be published")
	for pause := time.Second; ; pause = min(2*pause, watchAgainAfter) {
		child, err := r.watchImport(ctx)
		if err != nil {
			return job, err
		}
		watched := workflow.Now(ctx)
		if job, enough, err := r.awaitReports(ctx, child); enough || err != nil {
			return job, err
		}
		if workflow.Now(ctx).Sub(watched) < watchAgainAfter {
			if err := workflow.Sleep(ctx, pause); err != nil {
				return job, err
			}
		}
		if isLong(ctx) && workflow.GetVersion(ctx, "continue-run", workflow.DefaultVersion, 1) != workflow.DefaultVersion {
			r.in.Carried = &carriedRun{r.jobID, r.jobs, r.fails}
			return job, workflow.NewContinueAsNewError(ctx, RunSitemapName, r.in)
		}
	}
}

// awaitReports returns with enough false if the import closes without a report, or has not
// reported for long.
func (r *sitemapRun) awaitReports(ctx workflow.Context, child workflow.ChildWorkflowFuture) (job contract.ScrapedJob, enough bool, err error) {
	for heard := false; ; heard = true { // after one report, the next depends on an operator
		reported := false
		err := await(ctx, watchAgainAfter, "check that the import is running", func() bool {
			for there := true; there && !reported; {
				job = contract.ScrapedJob{}
				there = r.reports.ReceiveAsync(&job)
				reported = there && job.ScrapingJobID == r.jobID // drops late reports of earlier jobs
			}
			return reported || !heard && child != nil && child.IsReady()
		})
		if err != nil || !reported {
			return job, false, err
		}
		if enough, err := r.isEnough(job); enough || err != nil {
			return job, enough, err
		}
		r.waitFor(ctx, "an operator: the import of scraping job "+WorkflowID(r.jobID)+" is "+string(job.Outcome)+", the job is "+job.Status)
	}
}

// watchImport starts the import. If it is already running, watchImport asks it to report,
// and child is nil.
func (r *sitemapRun) watchImport(ctx workflow.Context) (child workflow.ChildWorkflowFuture, err error) {
	id := WorkflowID(r.jobID)
	options := workflow.ChildWorkflowOptions{
		WorkflowID: id, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, StaticSummary: runSummary(r.in), Priority: activities.Turns(r.in.Account),
	}
	options.TypedSearchAttributes, options.Memo = r.settings.listedAs(Notification{Account: r.in.Account}, StepScrape)
	outlives, _ := workflow.NewDisconnectedContext(ctx) // canceling ctx must not cancel the import
	for {
		child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(outlives, options), ImportScrapingJobName,
			ImportScrapingJobInput{ScrapingJobID: r.jobID, Account: r.in.Account, Settings: r.settings.Settings, AwaitEnd: true})
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		if !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return child, err
		}
		if workflow.SignalExternalWorkflow(ctx, id, "", watchSignal, workflow.GetInfo(ctx).WorkflowExecution.ID).Get(ctx, nil) == nil {
			return nil, nil
		}
		if err := workflow.Sleep(ctx, time.Second); err != nil { // the import closed in between
			return nil, err
		}
	}
}

func (r *sitemapRun) isEnough(job contract.ScrapedJob) (bool, error) {
	policy, kind, what := contract.Return, "", ""
	switch {
	case job.Account != "" && job.Account != r.in.Account:
		policy, kind, what = contract.Fail, contract.ErrorNotPublished, "was not published: "+activities.RefusedReason(r.jobID, r.in.Account, job.Account)
	case job.Outcome == contract.Published && job.Status != "finished":
		policy, kind = r.in.IfNotFinished, contract.ErrorNotFinished
		what = fmt.Sprintf("ended as %q; its %s are published", job.Status, records(job.Records))
	case job.Outcome == contract.NeedsAttention:
		policy, kind, what = r.in.IfNeedsAttention, contract.ErrorNeedsAttention, "needs attention: "+job.Reason
	case job.Outcome == contract.Ended:
		policy, kind, what = r.in.IfNeedsAttention, contract.ErrorNotPublished, "was not published: "+job.Reason
		if policy == contract.Wait {
			policy = contract.Fail // too late for an answer
		}
	}
	if policy == contract.Fail {
		return false, temporal.NewNonRetryableApplicationError(fmt.Sprintf("scraping job %d %s", job.ScrapingJobID, what), kind, nil, job)
	}
	return policy == contract.Return, nil
}

func (r *sitemapRun) waitFor(ctx workflow.Context, what string) {
	r.waits, r.since = what, workflow.Now(ctx)
	r.show(ctx, "waiting", " for "+what+", since "+moment(r.since))
}

// left says what happens to the scraping job when the run ends early.
func (r *sitemapRun) left() string {
	switch {
	case r.jobID != 0:
		return fmt.Sprintf("scraping job %d keeps running in Web Scraper Cloud, and workflow %d imports it", r.jobID, r.jobID)
	case r.creating:
		return "a scraping job may have been created; if so, it keeps running in Web Scraper Cloud and is imported when it ends"
	}
	if n := len(r.jobs); n > 0 {
		return fmt.Sprintf("scraping job %d is published, and none was created for its failed and empty URLs", r.jobs[n-1].ScrapingJobID)
	}
	return "no scraping job was created"
}

func (r *sitemapRun) show(ctx workflow.Context, state, note string) {
	var text strings.Builder
	table := rows{&text}
	fmt.Fprintf(&text, "**%s**%s\n", state, escape(note))
	table.begin()
	if sink.IsNamed(r.in.Account) {
		table.add("account", r.in.Account)
	}
	table.add("sitemap", strconv.FormatInt(r.in.SitemapID, 10))
	for _, job := range r.jobs {
		table.add("job "+WorkflowID(job.ScrapingJobID), fmt.Sprintf("%s, %s, %s", escape(job.Status), job.Outcome, records(job.Records)))
	}
	if r.waits != "" {
		next := "the job gets its own import workflow"
		if r.jobID != 0 {
			next = "workflow " + WorkflowID(r.jobID) + " imports the records; open it for progress and questions. This workflow ends with its result"
		}
		table.add("next", next)
		if r.timeLimit > 0 {
			table.add("limit", "fails after "+moment(r.fails))
		}
		table.add("if canceled", r.left())
	}
	workflow.SetCurrentDetails(ctx, text.String()+mayBeCut)
}

func (r *sitemapRun) progress() (contract.RunSitemapProgress, error) {
	return contract.RunSitemapProgress{ScrapingJobID: r.jobID, Waits: r.waits, Since: r.since, Jobs: r.jobs}, nil
}

func (r *sitemapRun) result() (result contract.RunSitemapResult) {
	if len(r.jobs) > 0 {
		result.ScrapedJob, result.Reruns = r.jobs[0], r.jobs[1:]
	}
	return result
}
