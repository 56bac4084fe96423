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
	accepts, err := w.awaitDecision(ctx, w.question.text(), w.question.deadline, "waiting for a person", w.question.goesOn())
	w.noteAttention(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case accepts && failedWith(problem, errorTooFew):
		w.asked.fewer = true
		w.asked.request = max(w.asked.request, reimport) // what was withheld is gone
	case accepts:
		w.asked.accepted = w.published.ImportID
	}
	switch {
	case w.asked.request != nothing:
		return stepDone, nil
	case w.asked.close != "":
		w.giveUp(ctx)
		return w.close(), nil
	case accepts:
		return StepHold, nil
	}
	return "", problem
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
// ask for it.
func (q question) retryable() bool { return q.problem != nil && retryable(problemKind(q.problem)) }

// retryable reports whether another attempt can mend a problem of that kind: some
// only a person can, and of some it would take importing all the records each time
// to find them unsolved.
func retryable(kind string) bool {
	return kind != "" && !acceptable(kind) && !slices.Contains([]string{errorWithheld, errorUnverified, activities.ErrorMappedTable}, kind)
}

// acceptable reports whether a person may go on in spite of the problem: the
// records that were good are published, or will be.
func (q question) acceptable() bool { return q.problem != nil && acceptable(problemKind(q.problem)) }

func acceptable(kind string) bool {
	return slices.Contains([]string{activities.ErrorRejectedRecords, activities.ErrorCountMismatch, errorTooFew}, kind)
}

// goesOn is the signal that answers the question by going on, "" if there is none.
func (q question) goesOn() string {
	if q.acceptable() {
		return AcceptSignal
	}
	return ""
}

// signals are those that make sense as an answer.
func (q question) signals() []string {
	signals := []string{AbandonSignal, KeepSignal}
	if q.acceptable() {
		signals = append(signals, AcceptSignal)
	}
	return append(signals, ReimportSignal)
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
