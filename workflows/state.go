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

// importScrapingJob is one run of the workflow. Its state is grouped by how long
// it lives.
type importScrapingJob struct {
	// account has the job, "" until it is known; then it stays the same.
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

	// job is the job as the cloud described it last. Before that it is what signals
	// say of it, without an ID.
	job sink.ScrapingJob
	// step is the one that was shown last.
	step    Step
	outcome Outcome
	reason  string
	// waitsFor is what the import waits for by itself, "" while it does not, and
	// waitsUntil is until when.
	waitsFor   string
	waitsUntil time.Time

	// scraping is set while the run waits for the job's end.
	scraping bool
	// watchers are the workflows that it reports to, report the current report, nil for
	// none yet.
	watchers []watcher
	report   *contract.ScrapedJob

	// checks counts the rounds since the last publishing.
	checks int
	// archivedAgain is set when the run has imported again for the archive's sake.
	archivedAgain bool
	// downloads counts the spool files; removals are those being removed, which
	// nothing waits for but the end.
	downloads int
	removals  workflow.WaitGroup
	// refusing counts the signals of another account that are being recorded.
	refusing int
}

// a names the activities; it is never called.
var a *activities.Activities

func setup(ctx workflow.Context, in ImportScrapingJobInput) (*importScrapingJob, error) {
	workflowID := workflow.GetInfo(ctx).WorkflowExecution.ID
	id, err := strconv.ParseInt(workflowID, 10, 64)
	if err != nil || id <= 0 || WorkflowID(id) != workflowID || (in.ScrapingJobID != 0 && in.ScrapingJobID != id) {
		return nil, invalidInput(fmt.Errorf("workflow ID %q, scrapingjob_id %d: the workflow's ID has to be the scrapingjob_id in decimal", workflowID, in.ScrapingJobID))
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
	w.isOf(in.Account)
	if in.Account == "" && (w.job.ScrapingJobID != 0 || w.published.ImportID != 0) {
		w.isOf(sink.DefaultAccount) // described by an earlier build, which knew no other
	}
	w.reportToWatchers(ctx, in.Carried == nil)
	return w, workflow.SetQueryHandlerWithOptions(ctx, ProgressQuery, w.progress,
		workflow.QueryHandlerOptions{Description: "The step the import is at, and what it has published."})
}

func (w *importScrapingJob) isOf(account string) {
	if account != "" && account != w.account {
		w.account = account
		w.logger = log.With(w.logger, "account", account)
	}
}

func invalidInput(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "InvalidInput", nil)
}

// request is what a round is asked for.
type request int

const (
	nothing request = iota
	// check: import if the content has changed.
	check
	// reimport: import in any case.
	reimport
)

// asked is what signals have asked for.
type asked struct {
	// Request is what no round has taken up yet, ByHand whether a person wants it.
	Request request `json:"request,omitempty"`
	ByHand  bool    `json:"by_hand,omitempty"`
	// heardAt is when a signal has asked for it last, EndedAt when a notification has
	// said last that the job has ended.
	heardAt time.Time
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Close is KeepSignal or AbandonSignal for good once a person has closed the
	// import: rounds that are asked for are still made, and the job stays in the cloud.
	Close string `json:"close,omitempty"`
	// About is what accept and delete-now were offered for last.
	About string `json:"about,omitempty"`
	// Withheld are the questions that a person has accepted about an import that was
	// withheld, until it is published.
	Withheld []sink.Question `json:"withheld,omitempty"`
	// Accepted is the ID of the import that a person has accepted as it is.
	Accepted int64 `json:"accepted,omitempty"`
	// Waiting are accept and delete-now, if an earlier run has got them: they count as if
	// they arrived when they are asked for.
	Waiting []string `json:"waiting,omitempty"`
}

// round is one way through the phases.
type round struct {
	request request
	byHand  bool
	// pass counts the imports of the run; requestedAt orders them among all
	// imports of the job.
	pass        int
	requestedAt time.Time
	// beginnings counts how often the round has begun with a download.
	beginnings int
	// restored is the job as the archive has it, when the file comes from there.
	restored *sink.ScrapingJob
	file     spoolFile
	// failedDataQuality says which criteria of the API's data quality check failed.
	failedDataQuality string
}

// published is the import that readers see, with the job that it was made from.
// Without an ImportID there is none.
type published struct {
	sink.PublishedImport `json:"published,omitzero"`

	// Pass is the one of this run that published it, 0 for an earlier run's.
	Pass int `json:"published_pass,omitempty"`
	// Problem is what publishing could not do besides.
	Problem string `json:"published_problem,omitempty"`
	// HeldUntil is until when the cloud's copy stays, DeleteNow whether a person has
	// ended the hold.
	HeldUntil time.Time `json:"held_until,omitzero"`
	DeleteNow bool      `json:"delete_now,omitempty"`
}

type question struct {
	problem error // nil while nothing is asked
	// accept is what the signal does, the rest of a sentence that begins with its name;
	// "" if nobody can accept the problem. withheld is what it accepts of an import that
	// was withheld.
	accept   string
	withheld *sink.Question
	// deadline is when the import fails without an answer. It outlives a question
	// that only reconciliation has answered.
	deadline time.Time
}

type phase struct {
	step Step
	do   func(*importScrapingJob, workflow.Context) (next Step, err error)
	next []transition
}

// transition leads to a step, in the case that it names.
type transition struct {
	to   Step
	when string
}

// leadsTo reports whether the step may follow. What fails may ask a person.
func (p phase) leadsTo(step Step) bool {
	return step == StepNeedsAttention || slices.ContainsFunc(p.next, func(t transition) bool { return t.to == step })
}

func (w *importScrapingJob) beginRound(ctx workflow.Context) {
	w.takeSignals(ctx)
	w.round = round{request: w.nextRequest(ctx), byHand: w.asked.ByHand, pass: w.round.pass, beginnings: 1}
	w.asked.Request, w.asked.ByHand, w.asked.heardAt = nothing, false, time.Time{}
	w.checks++
	w.newPass(ctx)
}

// lookAgain leaves what the round was asked for to another one.
func (w *importScrapingJob) lookAgain() Step {
	w.asked.Request = max(w.asked.Request, w.round.request)
	w.asked.ByHand = w.asked.ByHand || w.round.byHand
	return stepDone
}

func (w *importScrapingJob) newPass(ctx workflow.Context) {
	w.round.pass++
	w.round.requestedAt = workflow.Now(ctx)
}

// beginsAgain reports whether the round begins again with another download, because
// a worker, its file or the job went away.
func (w *importScrapingJob) beginsAgain(ctx workflow.Context, err error) bool {
	if !mayBeginAgain(err) || w.round.beginnings == maxBeginnings {
		return false
	}
	w.round.beginnings++
	w.logger.Info("Beginning the import again", "Error", err)
	if problemKind(err) == activities.ErrorSuperseded {
		w.newPass(ctx)
	}
	return true
}

// due says which job the round imports. A filter lets pass what a person asks for,
// and what the run has published.
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
		// A signal may have said another one meanwhile. Earlier builds knew the default one only.
		w.isOf(cmp.Or(described.Account, w.account, sink.DefaultAccount))
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
			w.asked.Withheld = nil // which was about what the job had
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

// leave is for a job that is not due: what is published goes on to its hold.
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

// deletion is what the rule of deletion looks at, here and in the activity.
func (w *importScrapingJob) deletion() activities.DeleteScrapingJobInput {
	accepted := w.asked.Accepted == w.published.ImportID
	return activities.DeleteScrapingJobInput{
		Job:         w.published.ScrapingJob,
		ImportID:    w.published.ImportID,
		Counts:      w.published.Counts,
		MaxRejected: int64(w.settings.MaxRejected),
		Accepted:    accepted,
		ByHand:      accepted || w.published.DeleteNow,
	}
}

func (w *importScrapingJob) end(outcome Outcome, reason string) Step {
	w.outcome, w.reason = outcome, reason
	return stepDone
}

// endKept ends with what was imported, by this run or before it.
func (w *importScrapingJob) endKept(reason string) Step {
	if w.published.Pass > 0 {
		return w.end(Kept, reason)
	}
	return w.end(Unchanged, reason)
}

// endNotFound leaves the outcome as it is when a signal has come in while this
// run deleted the job.
func (w *importScrapingJob) endNotFound(published *sink.PublishedImport) Step {
	switch {
	case w.outcome == Deleted:
		return stepDone
	case published != nil && published.RemovedAt != nil:
		return w.end(NotFound, "Web Scraper Cloud does not know this job any more: "+activities.RemovedReason(*published))
	case published != nil:
		reason := fmt.Sprintf("Web Scraper Cloud does not know this job any more: the %d records published on %s stay",
			published.Records, published.PublishedAt.UTC().Format(time.RFC3339))
		if missing := w.deletion().Missing(); missing != "" {
			reason += ", with " + missing
		}
		return w.end(NotFound, reason)
	}
	reason := "Web Scraper Cloud does not know this job"
	if sink.IsNamed(w.account) {
		reason += " in account " + w.account + ": is it another account's, whose webhook has this one's URL?"
	}
	return w.end(NotFound, reason)
}

func (w *importScrapingJob) close() Step {
	if w.asked.Close == AbandonSignal {
		return w.end(Abandoned, "a person gave the import up")
	}
	return w.endKept("a person decided to keep the job in the cloud")
}
