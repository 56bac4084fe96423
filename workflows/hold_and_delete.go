package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// holdAndDelete deletes the job in the cloud when its hold is over, if it may
// be deleted at all.
func (w *importScrapingJob) holdAndDelete(ctx workflow.Context) error {
	w.attentionUntil = time.Time{} // what there was is mended
	if err := w.verify(); err != nil {
		return err
	}
	if w.restored { // there is nothing to hold and nothing to delete
		w.end(Restored, "imported again from the archive: Web Scraper Cloud does not know this job any more")
		return nil
	}
	if reason := w.whyKeep(); reason != "" {
		w.endKept(reason)
		return nil
	}
	if decision, err := w.hold(ctx); err != nil || w.wanted != nothing || w.closes(decision) {
		return err
	}
	w.show(ctx, StepDelete, "")
	var deleted activities.DeleteScrapingJobResult
	err := workflow.ExecuteActivity(w.settings.cloudCall(ctx, "delete scraping job "+WorkflowID(w.id)), a.DeleteScrapingJob,
		activities.DeleteScrapingJobInput{
			Job: w.job, ImportID: w.importID, Records: w.result.Records, Rejected: w.result.Rejected, Skipped: w.result.Skipped,
			MaxRejected: w.settings.maxRejected, Accepted: w.accepted,
		}).Get(ctx, &deleted)
	switch {
	case err != nil:
		return err
	case deleted.Deleted:
		w.end(Deleted, "")
	case deleted.Unarchived && !w.archivedAgain:
		w.archivedAgain, w.wanted = true, reimport
	case deleted.Changed:
		w.wanted = max(w.wanted, check)
	default:
		return needsPerson(errorUnverified, "%s", deleted.Reason)
	}
	return nil
}

// verify compares what was imported with what the job has, unless a person has
// accepted it as it is.
func (w *importScrapingJob) verify() error {
	switch {
	case w.accepted:
		return nil
	case w.result.Rejected > w.settings.maxRejected:
		return needsPerson(errorRejects, "%s rejected (see scrapehaul.rejected_records)", recordsWere(w.result.Rejected))
	case w.job.Finished() && w.result.Records+w.result.Rejected+w.result.Skipped != w.job.StoredRecordCount:
		return needsPerson(errorMismatch, "%s imported, but the job has stored %d", recordsWere(w.result.Records), w.job.StoredRecordCount)
	}
	return nil
}

func recordsWere(n int64) string {
	if n == 1 {
		return "1 record was"
	}
	return fmt.Sprintf("%d records were", n)
}

// whyKeep says why the job must not be deleted in the cloud, or "".
func (w *importScrapingJob) whyKeep() string {
	switch {
	case !w.job.Finished():
		return fmt.Sprintf("the job is %q: it can still be continued in Web Scraper Cloud", w.job.Status)
	case w.keep:
		return keptByPerson
	case w.settings.neverDelete:
		return "hold_before_delete is \"never\""
	}
	return ""
}

// hold waits until the hold is over, a signal wants another round, or a person
// decides otherwise.
func (w *importScrapingJob) hold(ctx workflow.Context) (decision string, err error) {
	w.progress.DeleteAfter = &w.heldUntil
	defer func() { w.progress.DeleteAfter = nil }()
	w.show(ctx, StepHold, "")
	decision, _, err = w.waitForDecision(ctx, w.heldUntil.Sub(workflow.Now(ctx)),
		"hold before deleting scraping job "+WorkflowID(w.id), DeleteNowSignal, KeepSignal, AbandonSignal)
	return decision, err
}
