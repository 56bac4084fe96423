package workflows

import (
	"cmp"
	"errors"
	"slices"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Names of the metrics that the MetricsHandler of the worker's client gets, from
// the workflow and not from its replay. A workflow task that is lost after it
// has ended is counted twice.
const (
	// importsMetric is a counter of the imports that have ended, with the tags "account" and
	// "outcome": an Outcome, or outcomeFailed or outcomeCanceled.
	importsMetric = "scrapehaul_imports"
	// problemsMetric is a counter of what has been put before a person, with the
	// tags "account" and "kind"; see ProblemKinds.
	problemsMetric = "scrapehaul_problems"
	// failedListsMetric is a counter of the lists that reconciliation could not read, with
	// the tag "account". The run that starts those of several accounts succeeds, whatever they do.
	failedListsMetric = "scrapehaul_failed_lists"
)

const (
	outcomeTag = "outcome"
	kindTag    = "kind"
	accountTag = "account"
)

// Further values of the tag "outcome". Terminated imports are not counted: their
// workflow is not asked.
const (
	outcomeFailed   = "failed"
	outcomeCanceled = "canceled"
)

// problemTimeout is the kind of the problem that a step took too long.
const problemTimeout = "Timeout"

// ProblemKinds are the kinds of what can be put before a person, which are types
// of errors: an import that needs attention has one of them.
func ProblemKinds() []string {
	return append(activities.ErrorKinds(), errorUnverified, problemTimeout)
}

// InitMetrics lets the counters of the workflow begin at 0 on a handler that
// drops the SDK's own tags: what is counted for the first time is seen as an
// increase then.
func InitMetrics(handler client.MetricsHandler, accounts ...string) {
	for _, account := range accounts {
		handler := handler.WithTags(accountTags(account))
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

func accountTags(account string) map[string]string {
	return map[string]string{accountTag: cmp.Or(account, sink.DefaultAccount)}
}

// ended counts and logs the end of an import and returns what it is given. It must
// not be deferred: a workflow that leaves the worker's cache runs its deferred
// functions too.
func ended(ctx workflow.Context, result ImportScrapingJobResult, err error) (ImportScrapingJobResult, error) {
	outcome, reason := string(result.Outcome), result.Reason
	switch {
	case temporal.IsCanceledError(err):
		outcome, reason = outcomeCanceled, ""
	case err != nil:
		outcome, reason = outcomeFailed, Sentence(err)
	}
	workflow.GetMetricsHandler(ctx).WithTags(accountTags(result.Account)).WithTags(map[string]string{outcomeTag: outcome}).Counter(importsMetric).Inc(1)
	workflow.GetLogger(ctx).Info("The import has ended", "account", result.Account, "Outcome", outcome, "Reason", reason,
		"Records", result.Records, "Rejected", result.Rejected, "Bytes", result.Bytes)
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
