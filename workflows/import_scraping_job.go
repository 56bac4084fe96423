package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// ImportScrapingJob imports the scraping job whose ID is the workflow's ID. It runs
// the phases once per request: the signal that starts it, and those that arrive
// meanwhile. A notification imports if the job's content has changed since the
// published import; a re-import always imports.
//
// A re-import of a job that is no longer in the cloud takes the archived file, if
// there is one, and ends there.
func ImportScrapingJob(ctx workflow.Context, in ImportScrapingJobInput) (ImportScrapingJobResult, error) {
	w, err := setup(ctx, in)
	if err != nil {
		return ended(ctx, ImportScrapingJobResult{}, err)
	}
	return w.run(ctx, in)
}

// phases returns the state machine: what each step does, and where it leads. A step
// that fails with a non-retryable error asks an operator.
//
// Round: the phases once, from the download on, for one request. Pass: one import of a
// round, numbered within the workflow; a superseded one is followed by another.
// Asked: what signals have asked for and no round has done yet, and what operators decided.
// Question: a problem that waits for an operator. Pose: turn a problem into a question,
// which the phase ask then shows until it is answered.
func phases() []phase {
	return []phase{
		{StepDownload, (*importScrapingJob).fetch, []transition{
			{StepImport, "due"},
			{StepHold, "already published"},
			{stepDone, "not due, or check again later"},
			{StepDownload, "job or worker gone"},
		}},
		{StepImport, (*importScrapingJob).load, []transition{
			{StepHold, "published"},
			{StepDownload, "file or worker gone, or superseded"},
		}},
		{StepHold, (*importScrapingJob).hold, []transition{
			{StepDelete, "hold over, or delete-now"},
			{stepDone, "kept, closed, or a signal"},
		}},
		{StepDelete, (*importScrapingJob).remove, []transition{
			{stepDone, "deleted, changed since, closed, or a signal"},
			{StepDelete, "no API call left"},
		}},
		{StepNeedsAttention, (*importScrapingJob).ask, []transition{
			{StepHold, "accept"},
			{stepDone, "closed, a signal, or no answer in time"},
		}},
	}
}

// run repeats rounds until no signal asks for another one.
func (w *importScrapingJob) run(ctx workflow.Context, in ImportScrapingJobInput) (ImportScrapingJobResult, error) {
	for {
		due, err := w.awaitRound(ctx)
		if due {
			err = w.runRound(ctx)
		}
		if w.awaitQuiet(ctx, err) {
			if ctx.Err() == nil {
				w.show(ctx, stepDone, string(w.outcome))
			}
			return ended(ctx, w.result(), err)
		}
		if isLong(ctx) {
			if err := w.continueAsNew(ctx, in); !temporal.IsCanceledError(err) {
				return w.result(), err
			}
			return ended(ctx, w.result(), ctx.Err())
		}
	}
}

// runRound runs phase after phase until nothing is left to do or a signal asks for
// another round.
func (w *importScrapingJob) runRound(ctx workflow.Context) error {
	w.startRound(ctx)
	all := phases()
	for step := StepDownload; step != stepDone; {
		at := all[slices.IndexFunc(all, func(p phase) bool { return p.step == step })]
		next, err := at.do(w, ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil, step == StepNeedsAttention:
			return err
		case at.leadsTo(StepDownload) && w.restarts(ctx, err):
			next = StepDownload
		default:
			w.pose(ctx, err)
			next = StepNeedsAttention
		}
		if !at.leadsTo(next) {
			// A bug. The panic blocks the workflow task, which Temporal retries: the import stays
			// open and continues with a fixed worker.
			panic(fmt.Sprintf("%q does not lead to %q", step, next))
		}
		step = next
	}
	return nil
}

// fetch downloads the job if it is due.
func (w *importScrapingJob) fetch(ctx workflow.Context) (Step, error) {
	if w.scraping {
		w.show(ctx, StepScrape, "")
	} else {
		w.show(ctx, StepDownload, "")
	}
	file := w.newFile(ctx)
	var download activities.DownloadScrapingJobResult
	downloading := w.settings.cloudDownload(ctx, "download scraping job "+WorkflowID(w.id), w.round.manual)
	err := workflow.ExecuteActivity(downloading, a.DownloadScrapingJob,
		activities.DownloadScrapingJobInput{
			ScrapingJobID: w.id, Account: w.account, File: file.name, Source: w.settings.source, IfDue: w.due(), Manual: w.round.manual,
			DataQuality: w.settings.RequireDataQuality,
		}).Get(ctx, &download)
	switch {
	case err != nil:
		return "", err
	case download.Wait > 0:
		err := w.awaitCalls(ctx, download.Wait, func() bool {
			return w.asked.Manual && !w.round.manual || isLong(ctx) // an operator is waiting now
		})
		w.checks-- // the job was not checked
		return w.checkAgain(), err
	}
	described := *download.Described
	w.round.failedDataQuality = download.FailedDataQuality
	file.taskQueue = described.WorkerTaskQueue
	w.learn(described)
	w.announce(ctx, described.Announce)
	w.round.restored = download.Archived
	switch {
	case w.round.restored != nil:
		w.job = *w.round.restored
	case !described.Due(w.due().Again):
		if download.Interrupted != nil {
			w.removeFile(ctx, file)
		}
		again, err := w.awaitItsEnd(ctx, described)
		switch {
		case err == nil && w.scraping && w.asked.Close != "":
			return w.close(ctx), nil
		case again || err != nil:
			return w.checkAgain(), err
		}
		return w.leave(ctx, described), nil
	}
	if download.Interrupted != nil {
		if download, err = w.resumeDownload(ctx, file, download.Interrupted); err != nil {
			w.removeFile(ctx, file)
			return "", err
		}
	}
	file.bytes, file.sha256, file.format = download.Bytes, download.SHA256, download.Format
	w.round.file = file
	return StepImport, nil
}

// load imports the file on its worker and publishes it.
func (w *importScrapingJob) load(ctx workflow.Context) (Step, error) {
	file := w.round.file
	w.show(ctx, StepImport, "downloaded "+humanize.Bytes(uint64(file.bytes)))
	var imported activities.ImportRecordsResult
	summary := fmt.Sprintf("import %d records", w.job.StoredRecordCount)
	err := workflow.ExecuteActivity(w.onWorker(ctx, file.taskQueue, importTimeout, summary), a.ImportRecords, w.importInput(ctx)).Get(ctx, &imported)
	switch {
	case err != nil:
		w.removeFile(ctx, file)
		return "", err
	case !imported.Published:
		return "", w.withheld(ctx, imported)
	}
	w.publish(ctx, imported)
	w.announce(ctx, imported.Announce)
	return StepHold, nil
}

// hold decides by the import's counts whether the job may be deleted in the cloud and, if
// so, waits out the hold. The tables are counted in remove, right before the deletion.
func (w *importScrapingJob) hold(ctx workflow.Context) (Step, error) {
	if w.published.RemovedAt != nil {
		return w.endKept(activities.RemovedReason(w.published.PublishedImport)), nil
	}
	kind, reason := w.deletion().WhyKeep()
	unchanged := "the same content is already published"
	switch {
	case kind == "":
	case w.staysUnchanged() && workflow.GetVersion(ctx, "asked-once", workflow.DefaultVersion, 1) != workflow.DefaultVersion:
		unchanged += "; " + reason
	default:
		return "", w.incomplete(kind, reason)
	}
	w.question.deadline = time.Time{} // any earlier question is answered
	w.setReport(contract.Published, "")
	switch {
	case w.round.restored != nil:
		return w.end(Restored, "imported again from the archive: the job is no longer in Web Scraper Cloud"), nil
	case reason == "" && w.asked.Close != "":
		return w.close(ctx), nil
	case w.published.Pass == 0 && (reason != "" || w.settings.neverDelete):
		return w.endKept(unchanged), nil
	case reason != "":
		return w.endKept(reason), nil
	case w.settings.neverDelete:
		return w.endKept(`hold_before_delete is "never"`), nil
	}
	w.show(ctx, StepHold, "")
	deleteNow, err := w.awaitDecision(ctx, "", w.published.HeldUntil, "hold before deleting scraping job "+WorkflowID(w.id), DeleteNowSignal)
	if deleteNow {
		w.published.HeldUntil, w.published.DeleteNow = workflow.Now(ctx), true // also for a round requested with it
	}
	switch {
	case err != nil:
		return "", err
	case w.asked.Request != nothing:
		return stepDone, nil
	case w.asked.Close != "":
		return w.close(ctx), nil
	}
	return StepDelete, nil
}

// staysUnchanged reports whether an earlier run has published this content, and asked about
// it if it had to, and nothing would be deleted now.
func (w *importScrapingJob) staysUnchanged() bool {
	complete := w.deletion()
	complete.Accepted = true
	_, kept := complete.WhyKeep()
	return w.published.Pass == 0 && (kept != "" || w.settings.neverDelete)
}

// remove deletes the job in the cloud; the activity checks it once more first. Closing
// the import meanwhile ends the attempts.
func (w *importScrapingJob) remove(ctx workflow.Context) (Step, error) {
	w.show(ctx, StepDelete, "")
	calling, cancel := workflow.WithCancel(w.settings.cloudCall(ctx, "delete scraping job "+WorkflowID(w.id)))
	defer cancel()
	deletion := workflow.ExecuteActivity(workflow.WithWaitForCancellation(calling, true), a.DeleteScrapingJob, w.deletion())
	err := workflow.Await(ctx, func() bool {
		w.takeSignals(ctx)
		return w.asked.Close != "" || deletion.IsReady()
	})
	if err == nil && !deletion.IsReady() {
		cancel()
	}
	var deleted activities.DeleteScrapingJobResult
	err = deletion.Get(ctx, &deleted)
	switch {
	case temporal.IsCanceledError(err) && ctx.Err() == nil:
		return w.close(ctx), nil
	case err != nil:
		return "", err
	case deleted.Wait > 0:
		return w.awaitDeletion(ctx, deleted.Wait)
	case deleted.Deleted:
		return w.end(Deleted, ""), nil
	case deleted.Removed:
		return w.endKept(deleted.Reason), nil
	case deleted.Unarchived && !w.archivedAgain:
		w.archivedAgain = true
		w.asked.Request = reimport
	case deleted.Changed:
		w.asked.Request = max(w.asked.Request, check)
	default:
		return "", needsOperator(errorUnverified, deleted.Reason)
	}
	return stepDone, nil
}

// awaitDeletion waits until the account has an API call for the deletion. Meanwhile,
// signals close, re-import or delete immediately, as in the hold.
func (w *importScrapingJob) awaitDeletion(ctx workflow.Context, wait time.Duration) (Step, error) {
	err := w.awaitCalls(ctx, wait, func() bool {
		deleteNow := w.arrived(DeleteNowSignal) && !w.deletion().Manual
		w.published.DeleteNow = w.published.DeleteNow || deleteNow
		return deleteNow || w.asked.Request == reimport || w.asked.Close != "" || isLong(ctx)
	})
	switch {
	case err != nil:
		return "", err
	case isLong(ctx):
		w.asked.Request = max(w.asked.Request, check) // made by the next run
		return stepDone, nil
	case w.asked.Request == reimport:
		return stepDone, nil
	case w.asked.Close != "":
		return w.close(ctx), nil
	}
	return StepDelete, nil
}
