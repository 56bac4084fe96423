package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// holdAndDelete deletes the job in the cloud when its hold is over, if it may
// be deleted at all.
func (w *importScrapingJob) holdAndDelete(ctx workflow.Context) error {
	w.attentionUntil = time.Time{} // what there was is mended
	objection := w.assess().WhyKeep()
	if objection != nil && objection.Kind != "" {
		return needsPerson(objection.Kind, "%s", objection.Reason)
	}
	if w.restored { // there is nothing to hold and nothing to delete
		w.end(Restored, "imported again from the archive: Web Scraper Cloud does not know this job any more")
		return nil
	}
	if reason := w.whyKeep(objection); reason != "" {
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
			Imported: w.assess(), ImportID: w.importID,
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

// assess is what the rule of deletion looks at.
func (w *importScrapingJob) assess() activities.Imported {
	return activities.Imported{
		Job:         w.job,
		Counts:      sink.Counts{Records: w.result.Records, Rejected: w.result.Rejected, Skipped: w.result.Skipped},
		MaxRejected: w.settings.maxRejected,
		Accepted:    w.accepted,
	}
}

// whyKeep says why the job must not be deleted in the cloud, or "".
func (w *importScrapingJob) whyKeep(objection *activities.Objection) string {
	switch {
	case objection != nil:
		return objection.Reason
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
