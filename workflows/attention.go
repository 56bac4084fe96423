package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// errorUnverified is the type of an error that only a person can get an import past,
// beside those of the activities.
const errorUnverified = "Unverified"

func needsPerson(kind, reason string) error {
	return temporal.NewNonRetryableApplicationError(reason, kind, nil)
}

// withheld is the problem that an import was not published.
func (w *importScrapingJob) withheld(imported activities.ImportRecordsResult) error {
	asked := imported.Question
	if asked == nil { // by a worker of an earlier build
		return needsPerson(sink.TooFewRecords, imported.Reason)
	}
	does := "publishes " + records(imported.Records)
	if imported.Unmapped > 0 {
		does += ", " + humanize.Comma(imported.Unmapped) + " of them without a row in the mapped table,"
	}
	if w.published.ImportID != 0 {
		does += " instead of " + humanize.Comma(w.published.Records)
	}
	after := activities.DeleteScrapingJobInput{Job: w.job, Counts: imported.Counts, MaxRejected: int64(w.settings.MaxRejected)}
	kind, _ := after.WhyKeep()
	after.Accepted = true
	switch _, reason := after.WhyKeep(); {
	case w.keeps() || reason != "":
		does += ", and the job stays in the cloud"
	case kind != "":
		does += ", and the job stays in the cloud until a person accepts that, too"
	default:
		does += ", and the job is deleted in the cloud after its hold"
	}
	w.question.accept, w.question.withheld = does, asked
	return needsPerson(asked.Kind, imported.Reason)
}

// incomplete is the problem that what is published is not all of the job.
func (w *importScrapingJob) incomplete(kind, reason string) error {
	accepted := w.deletion()
	accepted.Accepted = true
	w.question.accept = "closes the import as it is, and the job stays in the cloud"
	if _, keep := accepted.WhyKeep(); keep == "" && !w.keeps() {
		w.question.accept = "lets the job be deleted in the cloud, with " + accepted.Missing()
	}
	return needsPerson(kind, reason)
}

// keeps reports whether the job stays in the cloud, or is not there, whatever is
// published.
func (w *importScrapingJob) keeps() bool {
	return w.settings.neverDelete || w.asked.Close != "" || w.round.restored != nil
}

// pose puts a problem before a person. What reconciliation found earlier is what
// has just failed. A question that only a person can answer has all its time,
// however long others were asked before.
func (w *importScrapingJob) pose(ctx workflow.Context, problem error) {
	w.takeSignals(ctx)
	w.question.problem = problem
	if failure, ok := errors.AsType[*temporal.ApplicationError](problem); ok && failure.HasDetails() {
		var account string // whose token it is about
		if failure.Details(&account) == nil && w.account == "" {
			w.isOf(account)
		}
	}
	if !w.question.retryable() && w.about(w.question.text()) != w.asked.About {
		w.question.deadline = time.Time{}
	}
}

// ask waits for a person's decision, a signal that wants another round, or the
// deadline, and does what was decided. The problem stays when nobody has answered.
func (w *importScrapingJob) ask(ctx workflow.Context) (Step, error) {
	problem := w.question.problem
	defer func() { w.question = question{deadline: w.question.deadline} }()
	if w.question.deadline.IsZero() {
		w.question.deadline = workflow.Now(ctx).Add(w.settings.attentionTimeout)
	}
	w.logger.Warn("The import needs attention", "Problem", Sentence(problem))
	workflow.GetMetricsHandler(ctx).WithTags(accountTags(w.account)).WithTags(map[string]string{kindTag: problemKind(problem)}).Counter(problemsMetric).Inc(1)
	w.show(ctx, StepNeedsAttention, "")
	w.setReport(contract.NeedsAttention, w.question.text())
	w.noteAttention(ctx, problem)
	goOn := ""
	if w.question.accept != "" {
		goOn = AcceptSignal
	}
	accepts, err := w.awaitDecision(ctx, w.question.text(), w.question.deadline, "waiting for a person", goOn)
	w.noteAttention(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case accepts && w.question.withheld != nil:
		w.asked.Withheld = append(w.asked.Withheld, *w.question.withheld)
		w.asked.Request = max(w.asked.Request, reimport) // what was withheld is gone
	case accepts:
		w.asked.Accepted = w.published.ImportID
	}
	switch {
	case w.asked.Request != nothing:
		return stepDone, nil
	case w.asked.Close != "":
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

func (q question) retryable() bool { return q.problem != nil && retryable(problemKind(q.problem)) }

// retryable reports whether another attempt can mend a problem of that kind, so that
// reconciliation may ask for it: some only a person can, and of some it would take importing
// all the records each time to find them unsolved.
func retryable(kind string) bool {
	return kind != "" && !slices.Contains([]string{
		activities.ErrorRejectedRecords, activities.ErrorCountMismatch, sink.TooFewRecords, sink.ManyRowsMissing, sink.EmptyColumns,
		sink.FailedDataQuality,
		errorUnverified, activities.ErrorMappedTable, activities.ErrorFileUnreadable,
	}, kind)
}

func (q question) signals() []string {
	signals := []string{AbandonSignal, KeepSignal}
	if q.accept != "" {
		signals = append(signals, AcceptSignal)
	}
	return append(signals, ReimportSignal)
}

func (q question) text() string {
	continues := "reimport tries again, abandon and keep close it without deleting anything"
	if q.accept != "" {
		continues = "accept " + q.accept + "; " + continues
	}
	return Sentence(q.problem) + ". Signals: " + continues + "."
}

// Sentence says what went wrong without the layers that Temporal wraps around
// it.
func Sentence(err error) string {
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
