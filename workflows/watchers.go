package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// watcher is a workflow that the import reports to, with the last report it received.
type watcher struct {
	ID       string `json:"id"`
	Received string `json:"told,omitempty"`
}

// reportToWatchers reports in parallel to the rounds, also after a cancellation. A parent
// that waits for the job's end is the first watcher.
func (w *importScrapingJob) reportToWatchers(ctx workflow.Context, isFirstRun bool) {
	if parent := workflow.GetInfo(ctx).ParentWorkflowExecution; parent != nil && w.awaitEnd && isFirstRun {
		w.watchers = append(w.watchers, watcher{ID: parent.ID})
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			if workflow.Await(ctx, func() bool { return w.unreported() >= 0 }) != nil {
				return
			}
			w.reportTo(ctx, w.watchers[w.unreported()])
		}
	})
}

// takeWatchers adds the workflows that asked to watch, and treats each like a parent: the
// run checks the job whatever the filter, and waits for its end. If the job is published or
// needs attention, that is reported without another check.
func (w *importScrapingJob) takeWatchers(ctx workflow.Context) {
	var id string
	for w.signals[watchSignal].ReceiveAsync(&id) {
		w.watchers = slices.DeleteFunc(w.watchers, func(each watcher) bool { return each.ID == id })
		w.watchers = append(w.watchers, watcher{ID: id})
		w.awaitEnd, w.settings.Filter = true, activities.Filter{}
		if w.report == nil || w.report.Outcome == contract.Ended {
			w.report = nil
			w.askCheck(ctx)
		}
	}
}

// reportTo reports to one watcher, and drops it if it has closed.
func (w *importScrapingJob) reportTo(ctx workflow.Context, to watcher) {
	what := w.reportText()
	err := workflow.SignalExternalWorkflow(ctx, to.ID, "", reportSignal, w.report).Get(ctx, nil)
	i := slices.IndexFunc(w.watchers, func(each watcher) bool { return each.ID == to.ID })
	if err != nil {
		w.logger.Info("A workflow watching the import has closed", "watcher", to.ID, "error", err)
		w.watchers = slices.Delete(w.watchers, i, i+1)
		return
	}
	w.watchers[i].Received = what
}

// unreported returns the index of a watcher without the current report, -1 for none.
func (w *importScrapingJob) unreported() int {
	if w.report == nil {
		return -1
	}
	return slices.IndexFunc(w.watchers, func(each watcher) bool { return each.Received != w.reportText() })
}

func (w *importScrapingJob) reportText() string {
	return fmt.Sprintf("import %d: %s %s", w.report.ImportID, w.report.Outcome, w.report.Reason)
}

// awaitReported waits until all watchers, including new ones, have the current report, and
// all refused signals are recorded.
func (w *importScrapingJob) awaitReported(ctx workflow.Context) {
	_ = workflow.Await(ctx, func() bool { // only used with a disconnected context
		w.takeSignals(ctx)
		return w.unreported() < 0 && w.refusing == 0
	})
}

func (w *importScrapingJob) setReport(outcome contract.Outcome, reason string) {
	job := w.job
	if outcome == contract.Published {
		job = w.published.ScrapingJob // it may be gone from the cloud
	}
	w.report = &contract.ScrapedJob{
		ScrapingJobID: w.id,
		Account:       w.account,
		SitemapName:   job.SitemapName,
		CustomID:      job.CustomID,
		Status:        job.Status,
		JobsScheduled: job.JobsScheduled,
		JobsExecuted:  job.JobsExecuted,
		JobsFailed:    job.JobsFailed,
		JobsEmpty:     job.JobsEmpty,
		Outcome:       outcome,
		Reason:        reason,
		ImportID:      w.published.ImportID,
		Counts:        w.published.Counts,
		Bytes:         w.published.Bytes,
		SHA256:        w.published.SHA256,
		Problem:       w.published.Problem,
	}
}

// setFinalReport reports how the run closes. Watchers wait for the publish, not for what
// follows it.
func (w *importScrapingJob) setFinalReport(err error) {
	incomplete, _ := w.deletion().WhyKeep()
	switch {
	case temporal.IsCanceledError(err):
		w.setReport(contract.Ended, "the import was canceled")
	case err != nil:
		w.setReport(contract.Ended, Sentence(err))
	case w.published.ImportID == 0, w.published.RemovedAt != nil,
		incomplete != "" && (w.outcome == Abandoned || w.outcome == NotFound && w.published.CloudDeletedAt == nil),
		w.job.ScrapingJobID != 0 && !w.job.SameContent(w.published.ScrapingJob):
		w.setReport(contract.Ended, w.reason)
	default:
		w.setReport(contract.Published, "")
	}
}
