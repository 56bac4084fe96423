package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// Types of the errors that only a person can get an import past, beside those of
// the activities.
const (
	errorWithheld   = "ShortDownload"
	errorTooFew     = "TooFewRecords"
	errorUnverified = "Unverified"
)

func needsPerson(kind, reason string) error {
	return temporal.NewNonRetryableApplicationError(reason, kind, nil)
}

// pose puts a problem before a person. What reconciliation found earlier is what
// has just failed.
func (w *importScrapingJob) pose(problem error) {
	w.takeSignals()
	w.question.problem = problem
}

// ask waits for a person's decision, a signal that wants another round, or the
// deadline, and does what was decided. The problem stays when nobody has answered.
func (w *importScrapingJob) ask(ctx workflow.Context) (Step, error) {
	problem := w.question.problem
	defer func() { w.question.problem = nil }()
	if w.question.deadline.IsZero() {
		w.question.deadline = workflow.Now(ctx).Add(w.settings.attentionTimeout)
	}
	w.logger.Warn("The import needs attention", "Problem", sentence(problem))
	w.countProblem(ctx, problem)
	w.show(ctx, StepNeedsAttention, "")
	w.noteAttention(ctx, problem)
	decision, err := w.awaitDecision(ctx, w.question.deadline, "waiting for a person", w.question.decisions()...)
	w.noteAttention(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case decision == AcceptSignal && failedWith(problem, errorTooFew):
		w.asked.fewer = true
		w.asked.request = max(w.asked.request, reimport) // what was withheld is gone
	case decision == AcceptSignal:
		w.asked.accepted = w.published.ImportID
		return StepHold, nil
	case w.closes(decision):
		w.giveUp(ctx)
	case w.asked.request == nothing:
		return "", problem
	}
	return stepDone, nil
}

// giveUp keeps reconciliation from starting again what a person has closed
// before it was published.
func (w *importScrapingJob) giveUp(ctx workflow.Context) {
	if w.job.ScrapingJobID == 0 || w.job.SameContent(w.published.ScrapingJob) {
		return
	}
	err := workflow.ExecuteActivity(shortStep(ctx, "leave scraping job "+WorkflowID(w.id)+" to itself"), a.GiveUpScrapingJob,
		w.job).Get(ctx, nil)
	if err != nil {
		w.logger.Warn("The job was not noted as given up: reconciliation may import it", "Error", err)
	}
}

// retryable reports whether another attempt can help, so that reconciliation may
// ask for it: some problems only a person can solve, and some it would take
// importing all the records each time to find unsolved.
func (q question) retryable() bool {
	return q.problem != nil && !q.acceptable() &&
		!slices.Contains([]string{errorWithheld, errorUnverified, activities.ErrorMappedTable}, problemKind(q.problem))
}

// acceptable reports whether a person may go on in spite of the problem: the
// records that were good are published, or will be.
func (q question) acceptable() bool {
	return slices.Contains([]string{activities.ErrorRejectedRecords, activities.ErrorCountMismatch, errorTooFew}, problemKind(q.problem))
}

// decisions are the signals that answer the question, beside those that want
// another round.
func (q question) decisions() []string {
	if q.acceptable() {
		return []string{AbandonSignal, KeepSignal, AcceptSignal}
	}
	return []string{AbandonSignal, KeepSignal}
}

// text is the question with its answers.
func (q question) text() string {
	continues := "reimport tries again, abandon and keep close it without deleting anything"
	if q.acceptable() {
		continues = "accept goes on all the same, deletion in the cloud included; " + continues
	}
	return sentence(q.problem) + ". Signals: " + continues + "."
}

// sentence says what went wrong without the layers that Temporal wraps around
// it.
func sentence(err error) string {
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return strings.TrimRight(failure.Message(), ".")
	}
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		step := "a step"
		if failed, ok := errors.AsType[*temporal.ActivityError](err); ok {
			step = failed.ActivityType().GetName()
		}
		return fmt.Sprintf("%s took too long (%s)", step, timeout.TimeoutType())
	}
	return strings.TrimRight(err.Error(), ".")
}
