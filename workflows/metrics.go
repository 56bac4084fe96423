package workflows

import (
	"errors"
	"slices"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// Names of the metrics reported to the MetricsHandler of the worker's client, not during
// replay. A workflow task whose completion is lost counts twice.
const (
	// importsMetric counts ended imports, with the tags "account" and "outcome": an Outcome,
	// or outcomeFailed or outcomeCanceled.
	importsMetric = "scrapehaul_imports"
	// problemsMetric counts the problems that needed attention, with the tags "account" and
	// "kind"; see ProblemKinds.
	problemsMetric = "scrapehaul_problems"
	// failedListsMetric counts the lists that reconciliation failed to read, with the tag
	// "account". The run that starts those of several accounts succeeds nevertheless.
	failedListsMetric = "scrapehaul_failed_lists"
)

const (
	outcomeTag = "outcome"
	kindTag    = "kind"
)

// Further values of the tag "outcome", and what a caller of Nexus gets as the Outcome of an
// import that closed with an error. Terminated imports are not counted: their workflow does
// not run.
const (
	outcomeFailed   = "failed"
	outcomeCanceled = "canceled"
)

// problemTimeout is the kind of problem of a step that timed out.
const problemTimeout = "Timeout"

// ProblemKinds returns the kinds of problems that need attention; they are error types.
func ProblemKinds() []string {
	return append(activities.ErrorKinds(), errorUnverified, problemTimeout)
}

// InitMetrics sets the counters of the workflow to 0 on a handler that drops the SDK's own
// tags, so that the first count already shows as an increase.
func InitMetrics(handler client.MetricsHandler, accounts ...string) {
	for _, account := range accounts {
		handler := handler.WithTags(activities.AccountTags(account))
		handler.Counter(failedListsMetric).Inc(0)
		for _, outcome := range []string{
			string(Deleted), string(Kept), string(Abandoned), string(Unchanged), string(StillRunning), string(Filtered), string(Restored), string(NotFound), string(Refused),
			outcomeFailed, outcomeCanceled,
		} {
			handler.WithTags(map[string]string{outcomeTag: outcome}).Counter(importsMetric).Inc(0)
		}
		for _, kind := range ProblemKinds() {
			handler.WithTags(map[string]string{kindTag: kind}).Counter(problemsMetric).Inc(0)
		}
	}
}

// ended counts and logs the end of an import and returns its arguments. It must not be
// deferred: a workflow evicted from the worker's cache runs its deferred functions too.
func ended(ctx workflow.Context, result ImportScrapingJobResult, err error) (ImportScrapingJobResult, error) {
	outcome, reason := string(result.Outcome), result.Reason
	switch {
	case temporal.IsCanceledError(err):
		outcome, reason = outcomeCanceled, ""
	case err != nil:
		outcome, reason = outcomeFailed, Sentence(err)
	}
	workflow.GetMetricsHandler(ctx).WithTags(activities.AccountTags(result.Account)).WithTags(map[string]string{outcomeTag: outcome}).Counter(importsMetric).Inc(1)
	workflow.GetLogger(ctx).Info("Import ended", "account", result.Account, "outcome", outcome, "reason", reason,
		"records", result.Records, "rejected", result.Rejected, "bytes", result.Bytes)
	return result, err
}

func problemKind(problem error) string {
	if failure, ok := errors.AsType[*temporal.ApplicationError](problem); ok {
		if slices.Contains(ProblemKinds(), failure.Type()) {
			return failure.Type()
		}
	} else if _, ok := errors.AsType[*temporal.TimeoutError](problem); ok {
		return problemTimeout
	}
	return activities.ErrorOther
}
