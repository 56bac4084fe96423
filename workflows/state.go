package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// importScrapingJob is one run of the workflow. Its state is grouped by lifetime.
type importScrapingJob struct {
	// account has the job, "" until it is known. It never changes after that.
	account string

	// Fixed for the run.
	id       int64
	settings settings
	awaitEnd bool
	logger   log.Logger
	signals  map[string]workflow.ReceiveChannel

	asked     asked
	round     round
	published published
	question  question

	// job is the job as last described by the cloud. Before that it is what signals say
	// about it, without an ID.
	job sink.ScrapingJob
	// step is the last one shown.
	step    Step
	outcome Outcome
	reason  string
	// waitsFor is what the import waits for on its own, "" if it does not wait, and
	// waitsUntil is until when.
	waitsFor   string
	waitsUntil time.Time

	// scraping is set while the run waits for the job's end.
	scraping bool
	// watchers are the workflows to report to; report is the current report, nil for none
	// yet.
	watchers []watcher
	report   *contract.ScrapedJob

	// checks counts the rounds since the last publish.
	checks int
	// archivedAgain is set once the run has imported again to archive the file.
	archivedAgain bool
	// downloads counts the spool files; removals are in progress, and only the end of the
	// run waits for them.
	downloads int
	removals  workflow.WaitGroup
	// refusing counts another account's signals that are being recorded.
	refusing int
}

// a names the activities; it is never called.
var a *activities.Activities

func setup(ctx workflow.Context, in ImportScrapingJobInput) (*importScrapingJob, error) {
	workflowID := workflow.GetInfo(ctx).WorkflowExecution.ID
	id, err := strconv.ParseInt(workflowID, 10, 64)
	if err != nil || id <= 0 || WorkflowID(id) != workflowID || (in.ScrapingJobID != 0 && in.ScrapingJobID != id) {
		return nil, invalidInput(fmt.Errorf("workflow ID %q, scrapingjob_id %d: the workflow's ID must be the scrapingjob_id in decimal", workflowID, in.ScrapingJobID))
	}
	parsed, problems := in.Settings.parse()
	if err := validate.Account("account", in.Account); in.Account != "" && err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, invalidInput(errors.Join(problems...))
	}
	w := &importScrapingJob{
		id:       id,
		settings: parsed,
		logger:   log.With(workflow.GetLogger(ctx), "scrapingjob_id", id),
		signals:  listen(ctx),
		asked:    asked{Request: check},
		awaitEnd: in.AwaitEnd,
		scraping: in.AwaitEnd,
		step:     StepDownload,
		removals: workflow.NewWaitGroup(ctx),
	}
	w.takeOver(ctx, in.Carried)
	w.setAccount(in.Account)
	if in.Account == "" && (w.job.ScrapingJobID != 0 || w.published.ImportID != 0) {
		w.setAccount(sink.DefaultAccount) // described by an earlier build, which had no other
	}
	w.reportToWatchers(ctx, in.Carried == nil)
	return w, workflow.SetQueryHandlerWithOptions(ctx, ProgressQuery, w.progress,
		workflow.QueryHandlerOptions{Description: "The step of the import, and what it has published."})
}

// setAccount sets the job's account, unless the name is empty.
func (w *importScrapingJob) setAccount(account string) {
	if account != "" && account != w.account {
		w.account = account
		w.logger = log.With(w.logger, "account", account)
	}
}

func invalidInput(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "InvalidInput", nil)
}

// request is what signals ask a round to do.
type request int

const (
	nothing request = iota
	// check: import if the content has changed.
	check
	// reimport: always import.
	reimport
)

// asked is what signals have asked for.
type asked struct {
	// Request is not yet taken up by a round; Manual is set if an operator wants it.
	Request request `json:"request,omitempty"`
	Manual  bool    `json:"by_hand,omitempty"`
	// heardAt is when a signal last asked for it, EndedAt when a notification last reported
	// the job's end.
	heardAt time.Time
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Close is KeepSignal or AbandonSignal, permanently, once an operator has closed the
	// import: requested rounds still run, and the job stays in the cloud.
	Close string `json:"close,omitempty"`
	// About is what accept and delete-now were last offered for.
	About string `json:"about,omitempty"`
	// Withheld are the accepted questions about an import that was withheld, until it is
	// published.
	Withheld []sink.Question `json:"withheld,omitempty"`
	// Accepted is the ID of the import that an operator has accepted as it is.
	Accepted int64 `json:"accepted,omitempty"`
	// Waiting are accept and delete-now signals to an earlier run: they count as if they
	// arrived when the run waits for them.
	Waiting []string `json:"waiting,omitempty"`
}

// round is the state of the present round.
type round struct {
	request request
	manual  bool
	// pass is the number of the present pass; requestedAt orders it among all imports of
	// the job.
	pass        int
	requestedAt time.Time
	// starts counts how often the round has started with a download.
	starts int
	// restored is the job from the archive, if the file comes from there.
	restored *sink.ScrapingJob
	file     spoolFile
	// failedDataQuality says which criteria of the API's data quality check failed.
	failedDataQuality string
}

// published is the import that readers see, with its job. Without an ImportID there is none.
type published struct {
	sink.PublishedImport `json:"published,omitzero"`

	// Pass is the pass that published it, 0 for one of an earlier workflow.
	Pass int `json:"published_pass,omitempty"`
	// Problem says what failed apart from publishing.
	Problem string `json:"published_problem,omitempty"`
	// HeldUntil is when the hold ends; DeleteNow is set if an operator has ended it.
	HeldUntil time.Time `json:"held_until,omitzero"`
	DeleteNow bool      `json:"delete_now,omitempty"`
}

type question struct {
	problem error // nil for no question
	// accept says what the signal does, as the rest of a sentence that starts with its
	// name; "" if the problem cannot be accepted. withheld is what it accepts of an import
	// that was withheld.
	accept   string
	withheld *sink.Question
	// deadline is when the import fails without an answer. It outlives a question answered
	// only by reconciliation.
	deadline time.Time
}

type phase struct {
	step Step
	do   func(*importScrapingJob, workflow.Context) (next Step, err error)
	next []transition
}

// transition leads to a step; when names the case.
type transition struct {
	to   Step
	when string
}

// leadsTo reports whether the step may follow. Any phase may fail and need attention.
func (p phase) leadsTo(step Step) bool {
	return step == StepNeedsAttention || slices.ContainsFunc(p.next, func(t transition) bool { return t.to == step })
}

func (w *importScrapingJob) startRound(ctx workflow.Context) {
	w.takeSignals(ctx)
	w.round = round{request: w.nextRequest(ctx), manual: w.asked.Manual, pass: w.round.pass, starts: 1}
	w.asked.Request, w.asked.Manual, w.asked.heardAt = nothing, false, time.Time{}
	w.checks++
	w.newPass(ctx)
}

// checkAgain leaves the round's request to another round.
func (w *importScrapingJob) checkAgain() Step {
	w.asked.Request = max(w.asked.Request, w.round.request)
	w.asked.Manual = w.asked.Manual || w.round.manual
	return stepDone
}

func (w *importScrapingJob) newPass(ctx workflow.Context) {
	w.round.pass++
	w.round.requestedAt = workflow.Now(ctx)
}

// restarts reports whether the round starts over with another download, because a worker,
// its file or the job went away.
func (w *importScrapingJob) restarts(ctx workflow.Context, err error) bool {
	if !mayRestart(err) || w.round.starts == maxStarts {
		return false
	}
	w.round.starts++
	w.logger.Info("Restarting the import with another download", "error", err)
	if problemKind(err) == activities.ErrorSuperseded {
		w.newPass(ctx)
	}
	return true
}

// due says when the round imports the job. The filter does not apply to a re-import, nor to
// a job that this run has published.
func (w *importScrapingJob) due() *activities.IfDue {
	switch {
	case w.round.request == reimport:
		return &activities.IfDue{Again: true}
	case w.published.Pass > 0:
		return &activities.IfDue{}
	}
	return &activities.IfDue{Filter: w.settings.Filter}
}

func (w *importScrapingJob) learn(described activities.Description) {
	if described.Found || described.Published != nil {
		// A signal may have named another one meanwhile. Earlier builds had only the default one.
		w.setAccount(cmp.Or(described.Account, w.account, sink.DefaultAccount))
	}
	if described.OtherAccount != "" {
		w.scraping = false
		return
	}
	if found := described.Published; found != nil {
		if found.ImportID != w.published.ImportID {
			w.published = published{}
		}
		w.published.PublishedImport = *found
	}
	if described.Found {
		if !described.Job.SameContent(w.job) {
			w.asked.Withheld = nil // accepted for the former content
		}
		w.job = described.Job
	}
	w.scraping = w.awaitEnd && described.Found && described.Running()
}

func (w *importScrapingJob) publish(ctx workflow.Context, imported activities.ImportRecordsResult) {
	w.asked.Withheld = nil
	w.checks = 0
	w.published = published{
		PublishedImport: sink.PublishedImport{
			ScrapingJob: w.job,
			Counts:      imported.Counts,
			ImportID:    imported.ImportID,
			Bytes:       w.round.file.bytes,
			SHA256:      w.round.file.sha256,
		},
		Pass:      w.round.pass,
		Problem:   imported.Problem,
		HeldUntil: workflow.Now(ctx).Add(w.settings.hold),
	}
}

// leave returns the step after a job that is not due: a published one continues with its
// hold.
func (w *importScrapingJob) leave(ctx workflow.Context, described activities.Description) Step {
	switch {
	case described.OtherAccount != "":
		return w.end(Refused, activities.RefusedReason(w.id, w.account, described.OtherAccount))
	case !described.Found:
		return w.endNotFound(described.Published)
	case described.Running():
		return w.end(StillRunning, "the job is \""+described.Job.Status+"\": Web Scraper Cloud notifies again when it ends")
	case described.Outside != "":
		return w.end(Filtered, described.Outside)
	}
	if w.published.HeldUntil.IsZero() {
		w.published.HeldUntil = workflow.Now(ctx).Add(w.settings.hold)
	}
	return StepHold
}

// deletion is the input of the deletion rule, here and in the activity.
func (w *importScrapingJob) deletion() activities.DeleteScrapingJobInput {
	accepted := w.asked.Accepted == w.published.ImportID
	return activities.DeleteScrapingJobInput{
		Job:         w.published.ScrapingJob,
		ImportID:    w.published.ImportID,
		Counts:      w.published.Counts,
		MaxRejected: int64(w.settings.MaxRejected),
		Accepted:    accepted,
		Manual:      accepted || w.published.DeleteNow,
	}
}

func (w *importScrapingJob) end(outcome Outcome, reason string) Step {
	w.outcome, w.reason = outcome, reason
	return stepDone
}

// endKept ends with the published import, by this run or an earlier one.
func (w *importScrapingJob) endKept(reason string) Step {
	if w.published.Pass > 0 {
		return w.end(Kept, reason)
	}
	return w.end(Unchanged, reason)
}

// endNotFound leaves the outcome as it is if a signal arrived while this run deleted the
// job.
func (w *importScrapingJob) endNotFound(published *sink.PublishedImport) Step {
	switch {
	case w.outcome == Deleted:
		return stepDone
	case published != nil && published.RemovedAt != nil:
		return w.end(NotFound, "the job is no longer in Web Scraper Cloud: "+activities.RemovedReason(*published))
	case published != nil:
		reason := fmt.Sprintf("the job is no longer in Web Scraper Cloud: the %d records published on %s stay",
			published.Records, published.PublishedAt.UTC().Format(time.RFC3339))
		if missing := w.deletion().Missing(); missing != "" {
			reason += ", with " + missing
		}
		return w.end(NotFound, reason)
	}
	reason := "job not found in Web Scraper Cloud"
	if sink.IsNamed(w.account) {
		reason += ", account " + w.account + ": does another account's webhook use this account's URL?"
	}
	return w.end(NotFound, reason)
}

func (w *importScrapingJob) close(ctx workflow.Context) Step {
	const keep = "an operator decided to keep the job in the cloud"
	switch {
	case w.asked.Close == AbandonSignal:
		return w.end(Abandoned, "an operator abandoned the import")
	case w.published.Pass == 0 && workflow.GetVersion(ctx, "keep-is-kept", workflow.DefaultVersion, 1) == workflow.DefaultVersion:
		return w.end(Unchanged, keep)
	}
	return w.end(Kept, keep)
}

// described reports whether the run knows the job, or what is published of it.
func (w *importScrapingJob) described() bool {
	return w.job.ScrapingJobID != 0 || w.published.ImportID != 0
}
