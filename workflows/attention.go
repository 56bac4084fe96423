package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// decisionSignals are those by which a person decides, in the order in which
// they count when several have come.
var decisionSignals = []string{AbandonSignal, KeepSignal, AcceptSignal, DeleteNowSignal}

const keptByPerson = "a person decided to keep the job in the cloud"

// Types of the errors that only a person can get an import past.
const (
	errorWithheld   = "ShortDownload"
	errorTooFew     = "TooFewRecords"
	errorUnverified = "Unverified"
)

func needsPerson(kind, format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), kind, nil)
}

// needsDecision says whether trying again cannot mend it, or would import all the
// records each time to find that out: somebody has to decide.
func needsDecision(err error) bool {
	return acceptable(err) || failedWith(err, errorWithheld) || failedWith(err, errorUnverified) || failedWith(err, activities.ErrorMappedTable)
}

// acceptable says whether a person may go on in spite of the error: the records
// that were good are published, or will be.
func acceptable(err error) bool {
	return failedWith(err, activities.ErrorRejectedRecords) || failedWith(err, activities.ErrorCountMismatch) || failedWith(err, errorTooFew)
}

// attention puts what went wrong before a person and does what the person
// decides; decided is false, and the problem stays, when nobody does in time.
// Otherwise it returns what goes wrong then, or nil when the import has ended or
// a signal wants another round.
func (w *importScrapingJob) attention(ctx workflow.Context, problem error) (decided bool, err error) {
	signals := []string{AbandonSignal, KeepSignal}
	continues := "reimport tries again, abandon and keep close it without deleting anything"
	if acceptable(problem) {
		signals = append(signals, AcceptSignal)
		continues = "accept goes on all the same, deletion in the cloud included; " + continues
	}
	w.takeSignals() // what reconciliation found earlier is what has just failed
	if w.attentionUntil.IsZero() {
		w.attentionUntil = workflow.Now(ctx).Add(w.settings.attentionTimeout)
	}
	until := w.attentionUntil
	w.progress.Attention, w.progress.FailsAfter = sentence(problem)+". Signals: "+continues+".", &until
	defer func() { w.progress.Attention, w.progress.FailsAfter = "", nil }()
	w.answers = append(slices.Clone(signals), ReimportSignal)
	w.logger.Warn("The import needs attention", "Problem", sentence(problem))
	w.countProblem(ctx, problem)
	w.show(ctx, StepNeedsAttention, "")
	w.retryable = !needsDecision(problem)
	w.noteAttention(ctx, problem)
	decision, expired, err := w.waitForDecision(ctx, until.Sub(workflow.Now(ctx)), "waiting for a person", signals...)
	w.retryable = false
	w.noteAttention(ctx, nil)
	switch {
	case err != nil:
		return false, err
	case expired:
		return false, problem
	case decision == AcceptSignal && failedWith(problem, errorTooFew):
		w.acceptFewer = true
		w.wanted = max(w.wanted, reimport) // what was withheld is gone
		return true, nil
	case decision == AcceptSignal:
		w.accepted = true
		return true, w.holdAndDelete(ctx)
	}
	if w.closes(decision) {
		w.giveUp(ctx)
	}
	return true, nil
}

// giveUp keeps reconciliation from starting again what a person has closed
// before it was published.
func (w *importScrapingJob) giveUp(ctx workflow.Context) {
	if w.described == (sink.ScrapingJob{}) || w.described.SameContent(w.job) {
		return
	}
	err := workflow.ExecuteActivity(shortStep(ctx, "leave scraping job "+WorkflowID(w.id)+" to itself"), a.GiveUpScrapingJob,
		activities.GiveUpScrapingJobInput{Job: w.described}).Get(ctx, nil)
	if err != nil {
		w.logger.Warn("The job was not noted as given up: reconciliation may import it", "Error", err)
	}
}

// closes ends the import when the decision is to.
func (w *importScrapingJob) closes(decision string) bool {
	switch decision {
	case KeepSignal:
		w.endKept(keptByPerson)
	case AbandonSignal:
		w.end(Abandoned, "a person gave the import up")
	default:
		return false
	}
	return true
}

// waitForDecision waits for one of the signals, for a signal that wants another
// round (wanted is set then), or for the time to pass. Decisions that make no
// sense here are dropped.
func (w *importScrapingJob) waitForDecision(
	ctx workflow.Context, wait time.Duration, summary string, signals ...string,
) (decision string, expired bool, err error) {
	decided := func() bool {
		w.takeSignals()
		for _, signal := range decisionSignals {
			if w.drain(signal) && decision == "" && slices.Contains(signals, signal) {
				decision = signal
			}
		}
		return w.wanted != nothing || decision != ""
	}
	// These lead to deletion: what was sent before this state could be seen was
	// not meant for it.
	w.drain(AcceptSignal)
	w.drain(DeleteNowSignal)
	if decided() {
		return decision, false, nil
	}
	if wait <= 0 {
		return "", true, nil
	}
	ctx, cancel := workflow.WithCancel(ctx) // ends the timer when the wait ends before
	defer cancel()
	inTime, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary},
	}, decided)
	return decision, !inTime, err
}

// drain takes all signals of that name that have arrived.
func (w *importScrapingJob) drain(signal string) (arrived bool) {
	for w.decisions[signal].ReceiveAsync(nil) {
		arrived = true
	}
	w.keep = w.keep || arrived && signal == KeepSignal
	return arrived
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
