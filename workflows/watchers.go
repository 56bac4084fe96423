package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// watcher is a workflow that the import reports to, with what it has been told last.
type watcher struct {
	ID   string `json:"id"`
	Told string `json:"told,omitempty"`
}

// reportToWatchers reports beside the rounds, also after a cancellation. The workflow that
// has started this one to wait for the job's end is the first of the watchers.
func (w *importScrapingJob) reportToWatchers(ctx workflow.Context, isFirstRun bool) {
	if parent := workflow.GetInfo(ctx).ParentWorkflowExecution; parent != nil && w.awaitEnd && isFirstRun {
		w.watchers = append(w.watchers, watcher{ID: parent.ID})
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			if workflow.Await(ctx, func() bool { return w.untold() >= 0 }) != nil {
				return
			}
			w.reportTo(ctx, w.watchers[w.untold()])
		}
	})
}

// takeWatchers has the run behave for a workflow that wants to watch it as if that had
// started it: it looks at the job, whatever the filter, and waits for its end.
func (w *importScrapingJob) takeWatchers(ctx workflow.Context) {
	var id string
	for w.signals[watchSignal].ReceiveAsync(&id) {
		w.watchers = slices.DeleteFunc(w.watchers, func(each watcher) bool { return each.ID == id })
		w.watchers = append(w.watchers, watcher{ID: id})
		w.awaitEnd, w.settings.Filter = true, activities.Filter{}
		w.askCheck(ctx)
	}
}

// reportTo drops a watcher that is not there any more.
func (w *importScrapingJob) reportTo(ctx workflow.Context, to watcher) {
	what := w.reportText()
	err := workflow.SignalExternalWorkflow(ctx, to.ID, "", reportSignal, w.report).Get(ctx, nil)
	i := slices.IndexFunc(w.watchers, func(each watcher) bool { return each.ID == to.ID })
	if err != nil {
		w.logger.Info("A workflow that watches the import is gone", "WorkflowID", to.ID, "Error", err)
		w.watchers = slices.Delete(w.watchers, i, i+1)
		return
	}
	w.watchers[i].Told = what
}

// untold is the index of a watcher that does not know the report yet, -1 for none.
func (w *importScrapingJob) untold() int {
	if w.report == nil {
		return -1
	}
	return slices.IndexFunc(w.watchers, func(each watcher) bool { return each.Told != w.reportText() })
}

func (w *importScrapingJob) reportText() string {
	return fmt.Sprintf("import %d: %s %s", w.report.ImportID, w.report.Outcome, w.report.Reason)
}

// awaitReported waits until all watchers know the report.
func (w *importScrapingJob) awaitReported(ctx workflow.Context) {
	_ = workflow.Await(ctx, func() bool { return w.untold() < 0 }) // it ends with a disconnected context only
}

// tell has how the import stands reported.
func (w *importScrapingJob) tell(outcome contract.Outcome, reason string) {
	w.report = &contract.ScrapedJob{
		ScrapingJobID: w.id,
		SitemapName:   w.job.SitemapName,
		CustomID:      w.job.CustomID,
		Status:        w.job.Status,
		JobsScheduled: w.job.JobsScheduled,
		JobsExecuted:  w.job.JobsExecuted,
		JobsFailed:    w.job.JobsFailed,
		JobsEmpty:     w.job.JobsEmpty,
		Outcome:       outcome,
		Reason:        reason,
		ImportID:      w.published.ImportID,
		Counts:        w.published.Counts,
		Bytes:         w.published.Bytes,
		SHA256:        w.published.SHA256,
		Problem:       w.published.Problem,
	}
}

// tellEnd has the end reported. Whoever waits for the import has waited for its
// publishing.
func (w *importScrapingJob) tellEnd(err error) {
	switch {
	case temporal.IsCanceledError(err):
		w.tell(contract.Ended, "the import was canceled")
	case err != nil:
		w.tell(contract.Ended, Sentence(err))
	case w.outcome == Abandoned, w.published.ImportID == 0:
		w.tell(contract.Ended, w.reason)
	default:
		w.tell(contract.Published, "")
	}
}
