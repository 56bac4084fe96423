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

// errorUnverified is the type of an error that only an operator can resolve, in addition
// to those of the activities.
const errorUnverified = "Unverified"

func needsOperator(kind, reason string) error {
	return temporal.NewNonRetryableApplicationError(reason, kind, nil)
}

// withheld returns the problem of an import that was not published. Accept publishes what
// another download then has, unless that raises another question.
func (w *importScrapingJob) withheld(ctx workflow.Context, imported activities.ImportRecordsResult) error {
	asked := imported.Question
	if asked == nil { // from a worker of an earlier build
		return needsOperator(sink.TooFewRecords, imported.Reason)
	}
	count := records(imported.Records)
	if imported.Unmapped > 0 {
		count += ", " + humanize.Comma(imported.Unmapped) + " of them without a row in the mapped table"
	}
	if w.published.ImportID != 0 {
		count += "; they replace the " + humanize.Comma(w.published.Records) + " published before"
	}
	does, then, asks := "downloads the job again and publishes it", "; ", "it asks again before the job is deleted in the cloud"
	switch few := imported.Unmapped == 0 && (w.published.ImportID == 0 || imported.Records < w.published.Records); {
	case workflow.GetVersion(ctx, "accept-downloads", workflow.DefaultVersion, 1) == workflow.DefaultVersion:
		does, then, asks = "publishes "+count, ", and ", "the job stays in the cloud until an operator accepts that, too"
	case asked.Kind != sink.TooFewRecords:
		does += " as it is, now with " + count
	case few:
		does += ", even with only " + count
	default:
		does += ", even with " + count
	}
	after := activities.DeleteScrapingJobInput{Job: w.job, Counts: imported.Counts, MaxRejected: int64(w.settings.MaxRejected)}
	kind, _ := after.WhyKeep()
	after.Accepted = true
	switch _, reason := after.WhyKeep(); {
	case w.keeps() || reason != "":
		does += then + "the job stays in the cloud"
	case kind != "":
		does += then + asks
	default:
		does += then + "the job is deleted in the cloud after its hold"
	}
	w.question.accept, w.question.withheld = does, asked
	return needsOperator(asked.Kind, imported.Reason)
}

// incomplete returns the problem of a published import that lacks records of the job.
func (w *importScrapingJob) incomplete(kind, reason string) error {
	accepted := w.deletion()
	accepted.Accepted = true
	w.question.accept = "closes the import as it is, and the job stays in the cloud"
	if _, keep := accepted.WhyKeep(); keep == "" && !w.keeps() {
		w.question.accept = "lets the job be deleted in the cloud, with " + accepted.Missing()
	}
	return needsOperator(kind, reason)
}

// keeps reports whether this run never deletes the job in the cloud, whatever it
// publishes.
func (w *importScrapingJob) keeps() bool {
	return w.settings.neverDelete || w.asked.Close != "" || w.round.restored != nil
}

// pose turns a problem into a question to an operator. A question that reconciliation
// cannot retry gets the full time, however long earlier ones waited.
func (w *importScrapingJob) pose(ctx workflow.Context, problem error) {
	w.takeSignals(ctx)
	w.question.problem = problem
	if failure, ok := errors.AsType[*temporal.ApplicationError](problem); ok && failure.HasDetails() {
		var account string // whose token failed
		if failure.Details(&account) == nil && w.account == "" {
			w.setAccount(account)
		}
	}
	if !w.question.retryable() && w.about(w.question.text()) != w.asked.About {
		w.question.deadline = time.Time{}
	}
}

// ask waits for a decision, a signal that asks for another round, or the deadline, and
// acts on it. Without an answer in time it returns the problem as its error.
func (w *importScrapingJob) ask(ctx workflow.Context) (Step, error) {
	problem := w.question.problem
	defer func() { w.question = question{deadline: w.question.deadline} }()
	if w.question.deadline.IsZero() {
		w.question.deadline = workflow.Now(ctx).Add(w.settings.attentionTimeout)
	}
	w.logger.Warn("Import needs attention", "problem", Sentence(problem))
	workflow.GetMetricsHandler(ctx).WithTags(activities.AccountTags(w.account)).WithTags(map[string]string{kindTag: problemKind(problem)}).Counter(problemsMetric).Inc(1)
	w.show(ctx, StepNeedsAttention, "")
	w.setReport(contract.NeedsAttention, w.question.text())
	w.noteAttention(ctx, problem)
	proceed := ""
	if w.question.accept != "" {
		proceed = AcceptSignal
	}
	accepts, err := w.awaitDecision(ctx, w.question.text(), w.question.deadline, "waiting for an operator", proceed)
	w.noteAttention(ctx, nil)
	switch {
	case err != nil:
		return "", err
	case accepts && w.question.withheld != nil:
		w.asked.Withheld = append(w.asked.Withheld, *w.question.withheld)
		w.asked.Request = max(w.asked.Request, reimport) // the withheld records are gone
	case accepts:
		w.asked.Accepted = w.published.ImportID
	}
	switch {
	case w.asked.Request != nothing:
		return stepDone, nil
	case w.asked.Close != "":
		w.abandonJob(ctx)
		return w.close(ctx), nil
	case accepts:
		return StepHold, nil
	}
	return "", problem
}

// abandonJob keeps reconciliation from restarting an import that an operator closed
// before it was published.
func (w *importScrapingJob) abandonJob(ctx workflow.Context) {
	if !w.unpublished() {
		return
	}
	err := workflow.ExecuteActivity(shortStep(ctx, "record that scraping job "+WorkflowID(w.id)+" is abandoned"), activities.AbandonScrapingJobName,
		w.job).Get(ctx, nil)
	if err != nil {
		w.logger.Warn("Recording the abandoned job failed; reconciliation may import it again", "error", err)
	}
}

// unpublished reports whether the job's content, as last described, is not published.
func (w *importScrapingJob) unpublished() bool {
	return w.job.ScrapingJobID != 0 && !w.job.SameContent(w.published.ScrapingJob)
}

func (q question) retryable() bool { return q.problem != nil && Retryable(problemKind(q.problem)) }

// Retryable reports whether reconciliation may retry a problem of that kind. Some need an
// operator; others would import all records again only to fail the same way.
func Retryable(kind string) bool {
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

// text is the question as an operator reads it. Recorded histories contain accept signals
// with this text: see [importScrapingJob.arrived].
func (q question) text() string {
	continues := "reimport tries again, abandon and keep close it without deleting anything"
	if q.accept != "" {
		continues = "accept " + q.accept + "; " + continues
	}
	return Sentence(q.problem) + ". Signals: " + continues + "."
}

// Sentence returns the message of the error without the layers that Temporal wraps
// around it.
func Sentence(err error) string {
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return strings.TrimRight(failure.Message(), ".")
	}
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		step := "a step"
		if failed, ok := errors.AsType[*temporal.ActivityError](err); ok {
			step = failed.ActivityType().GetName()
		}
		return fmt.Sprintf("%s timed out (%s)", step, timeout.TimeoutType())
	}
	return strings.TrimRight(err.Error(), ".")
}
