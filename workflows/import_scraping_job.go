package workflows

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// ImportScrapingJob imports one scraping job, whose ID is the workflow's own:
// describe and download the job, import its records and publish them, hold,
// delete the job in the cloud. A re-import of a job that the cloud does not know
// any more takes the archived file, if there is one, and ends there.
//
// It goes through these rounds again for every signal that comes in the
// meantime: a notification imports when the job's content has changed since
// the published import, a re-import always does.
func ImportScrapingJob(ctx workflow.Context, in ImportScrapingJobInput) (ImportScrapingJobResult, error) {
	w, err := setup(ctx, in)
	if err != nil {
		return ended(ctx)(ImportScrapingJobResult{}, err)
	}
	return ended(ctx)(w.run(ctx))
}

// request is what signals ask for.
type request int

const (
	nothing request = iota
	// check: import if the content has changed.
	check
	// reimport: import in any case.
	reimport
)

type importScrapingJob struct {
	id       int64
	settings settings
	logger   log.Logger

	notifications   workflow.ReceiveChannel
	reimports       workflow.ReceiveChannel
	reconciliations workflow.ReceiveChannel
	decisions       map[string]workflow.ReceiveChannel
	// wanted is what signals have asked for and no round has taken up yet.
	wanted request

	// pass counts the imports of this run; requestedAt orders them among all
	// imports of the job.
	pass        int
	requestedAt time.Time

	// described is the job as the cloud described it last.
	described sink.ScrapingJob
	// job is what the published import was made from, heldUntil the time until
	// which the cloud's copy of it stays.
	job       sink.ScrapingJob
	importID  int64
	heldUntil time.Time
	// imported is set when this run has published something, accepted when a
	// person has accepted what was imported as it is.
	imported bool
	accepted bool
	// acceptFewer is set when a person wants what was withheld as too few published.
	acceptFewer bool
	// restored is set when the round's file comes from the archive, archivedAgain
	// when the run has imported again for the archive's sake.
	restored      bool
	archivedAgain bool
	// keep is set for good when a person has decided so.
	keep bool
	// attentionUntil is when the wait for a person ends; retryable is set during
	// that wait when another attempt can help, so that reconciliation asks for it.
	attentionUntil time.Time
	retryable      bool
	// answers are the signals that a person may answer the present problem with.
	answers []string

	// downloads counts the spool files; removals are those being removed, which
	// nothing waits for but the end.
	downloads int
	removals  workflow.WaitGroup

	// state is what Temporal's search knows.
	state    State
	progress Progress
	result   ImportScrapingJobResult
}

// a names the activities; it is never called.
var a *activities.Activities

func setup(ctx workflow.Context, in ImportScrapingJobInput) (*importScrapingJob, error) {
	workflowID := workflow.GetInfo(ctx).WorkflowExecution.ID
	id, err := strconv.ParseInt(workflowID, 10, 64)
	if err != nil || id <= 0 || WorkflowID(id) != workflowID || (in.ScrapingJobID != 0 && in.ScrapingJobID != id) {
		return nil, invalidInput(fmt.Errorf("workflow ID %q, scrapingjob_id %d: the workflow's ID has to be the scrapingjob_id in decimal", workflowID, in.ScrapingJobID))
	}
	parsed, problems := in.Settings.parse()
	if len(problems) > 0 {
		return nil, invalidInput(errors.Join(problems...))
	}
	w := &importScrapingJob{
		id:              id,
		settings:        parsed,
		logger:          log.With(workflow.GetLogger(ctx), "scrapingjob_id", id),
		notifications:   signalChannel(ctx, NotificationSignal, "Web Scraper Cloud has sent a notification: imports what has changed"),
		reimports:       signalChannel(ctx, ReimportSignal, SignalMeaning(ReimportSignal)),
		reconciliations: signalChannel(ctx, ReconciliationSignal, "Reconciliation has found the job due"),
		decisions:       map[string]workflow.ReceiveChannel{},
		wanted:          check,
		state:           StateImporting,
		removals:        workflow.NewWaitGroup(ctx),
		progress:        Progress{ScrapingJobID: id, Step: StepDownload},
		result:          ImportScrapingJobResult{ScrapingJobID: id},
	}
	for _, signal := range decisionSignals {
		w.decisions[signal] = signalChannel(ctx, signal, SignalMeaning(signal))
	}
	err = workflow.SetQueryHandlerWithOptions(ctx, ProgressQuery, func() (Progress, error) { return w.progress, nil },
		workflow.QueryHandlerOptions{Description: "The step the import is at, and what it has published."})
	return w, err
}

func signalChannel(ctx workflow.Context, name, description string) workflow.ReceiveChannel {
	return workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
}

func invalidInput(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "InvalidInput", nil)
}

// run goes through rounds until no signal asks for another one. What a round
// cannot do by itself is put before a person.
func (w *importScrapingJob) run(ctx workflow.Context) (ImportScrapingJobResult, error) {
	for {
		err := w.round(ctx)
		for decided := true; err != nil && decided && ctx.Err() == nil; {
			decided, err = w.attention(ctx, err)
		}
		w.takeSignals()
		if w.wanted == nothing {
			// The last wait comes before the last look for signals.
			w.awaitRemovals(ctx)
			w.takeSignals()
		}
		if ctx.Err() != nil {
			w.awaitRemovals(ctx)
			return w.result, err
		}
		if w.wanted == nothing {
			w.show(ctx, StepDone, string(w.result.Outcome))
			return w.result, err
		}
	}
}

// takeSignals notes what the signals that have arrived ask for.
func (w *importScrapingJob) takeSignals() {
	for {
		var notification converter.RawValue // which any input is
		if !w.notifications.ReceiveAsync(&notification) {
			break
		}
		w.wanted, w.attentionUntil = max(w.wanted, check), time.Time{}
		w.hear(notification)
	}
	for w.reimports.ReceiveAsync(nil) {
		w.wanted, w.attentionUntil = max(w.wanted, reimport), time.Time{}
	}
	for {
		var found sink.ScrapingJob
		if !w.reconciliations.ReceiveAsync(&found) {
			return
		}
		if w.retryable || !found.SameContent(w.described) {
			w.wanted = max(w.wanted, check)
		}
		if w.progress.SitemapName == "" {
			w.progress.SitemapName, w.progress.Status, w.progress.StoredRecordCount = found.SitemapName, found.Status, found.StoredRecordCount
		}
	}
}

// hear notes what a notification says of the job, for people to see until the
// cloud itself has said more. One that was sent by hand may say anything.
func (w *importScrapingJob) hear(notification converter.RawValue) {
	var said Notification
	if notification.Payload() == nil || converter.GetDefaultDataConverter().FromPayload(notification.Payload(), &said) != nil {
		return
	}
	if w.progress.SitemapName == "" {
		w.progress.SitemapName, w.progress.Status = said.SitemapName, said.Status
	}
}

// round does once what is wanted. When the worker goes away with the file, it
// begins again. It leaves the rest to the next round when a signal comes.
func (w *importScrapingJob) round(ctx workflow.Context) error {
	w.takeSignals()
	doing := w.wanted
	w.wanted = nothing
	w.newPass(ctx)
	for beginning := 1; ; beginning++ {
		upToDate, err := w.bringUpToDate(ctx, doing)
		switch {
		case err == nil && upToDate:
			return w.holdAndDelete(ctx)
		case err == nil:
			return nil
		case !beginAgain(err) || beginning == maxBeginnings:
			return err
		}
		w.logger.Info("Beginning the import again", "Error", err)
		if isSuperseded(err) {
			w.newPass(ctx)
		}
	}
}

func (w *importScrapingJob) newPass(ctx workflow.Context) {
	w.pass++
	w.requestedAt = workflow.Now(ctx)
}

// bringUpToDate downloads and imports the job if that is due. Unless the
// published import then is of the job's present content, it ends the round.
func (w *importScrapingJob) bringUpToDate(ctx workflow.Context, wanted request) (upToDate bool, err error) {
	w.restored = false
	w.show(ctx, StepDownload, "")
	file := w.newFile(ctx)
	var download activities.DownloadScrapingJobResult
	err = workflow.ExecuteActivity(w.settings.cloudDownload(ctx, w.downloadSummary()), a.DownloadScrapingJob,
		activities.DownloadScrapingJobInput{
			ScrapingJobID: w.id, File: file.name, Source: w.settings.source, IfDue: &activities.IfDue{Filter: w.filterFor(wanted), Again: wanted == reimport},
		}).Get(ctx, &download)
	if err != nil {
		return false, err
	}
	described := *download.Described
	file.taskQueue = described.WorkerTaskQueue
	remove := true
	defer func() {
		if remove {
			w.removeFile(ctx, file)
		}
	}()
	if download.Archived != nil {
		described.Job, w.restored = *download.Archived, true
		w.learnJob(described.Job)
	} else if !described.Due(wanted == reimport) {
		remove = download.Interrupted != nil
		return w.leave(ctx, described), nil
	}
	w.learn(described)
	if broken := download.Interrupted; broken != nil {
		w.logger.Info("The download goes on where it was interrupted", "TaskQueue", file.taskQueue, "Reason", broken.Reason)
		w.show(ctx, StepDownload, broken.Reason)
		if download, err = w.downloadOnWorker(ctx, file, broken.Progress); err != nil {
			return false, err
		}
	}
	published, err := w.importFile(ctx, described, file, download)
	remove = err != nil && !failedWith(err, errorWithheld) && !failedWith(err, errorTooFew)
	return published, err
}

// filterFor lets pass what a person asks for.
func (w *importScrapingJob) filterFor(wanted request) activities.Filter {
	if wanted == reimport {
		return activities.Filter{}
	}
	return w.settings.filter
}

// learn notes what the job was found to be.
func (w *importScrapingJob) learn(described activities.Description) {
	if described.Published != nil {
		w.setPublished(*described.Published)
	}
	if described.Found {
		w.learnJob(described.Job)
	}
}

func (w *importScrapingJob) learnJob(job sink.ScrapingJob) {
	w.described = job
	w.progress.SitemapName, w.progress.Status = job.SitemapName, job.Status
	w.progress.StoredRecordCount = job.StoredRecordCount
}

// leave is for a job that is not due; it is up to date, or the round ends.
func (w *importScrapingJob) leave(ctx workflow.Context, described activities.Description) (upToDate bool) {
	w.learn(described)
	switch {
	case !described.Found:
		w.endNotFound(described.Published)
	case described.Running():
		w.end(StillRunning, fmt.Sprintf("the job is %q: Web Scraper Cloud notifies again when it ends", described.Job.Status))
	case described.Outside != "":
		w.end(Filtered, described.Outside)
	default:
		w.job = described.Job
		if w.heldUntil.IsZero() {
			w.heldUntil = workflow.Now(ctx).Add(w.settings.hold)
		}
		return true
	}
	return false
}

// importFile imports the file on its worker and publishes it.
func (w *importScrapingJob) importFile(
	ctx workflow.Context, described activities.Description, file spoolFile, download activities.DownloadScrapingJobResult,
) (published bool, err error) {
	job := described.Job
	var cloudDeletedAt *time.Time
	if w.restored && described.Published != nil {
		cloudDeletedAt = described.Published.CloudDeletedAt
	}
	w.show(ctx, StepImport, humanize.Bytes(uint64(download.Bytes))+" have been downloaded")
	var imported activities.ImportRecordsResult
	summary := fmt.Sprintf("import %d records", job.StoredRecordCount)
	least := w.settings.minRecordsPercent
	if w.acceptFewer {
		least = 0
	}
	err = workflow.ExecuteActivity(w.onWorker(ctx, file.taskQueue, importTimeout, summary), a.ImportRecords,
		activities.ImportRecordsInput{
			Job:               job,
			File:              file.name,
			Bytes:             download.Bytes,
			SHA256:            download.SHA256,
			Format:            download.Format,
			RunID:             workflow.GetInfo(ctx).WorkflowExecution.RunID,
			Pass:              w.pass,
			RequestedAt:       w.requestedAt,
			BatchRecords:      w.settings.batchRecords,
			MaxRecordBytes:    w.settings.maxRecordBytes,
			MinRecordsPercent: least,
			Accepted:          w.acceptFewer,
			CloudDeletedAt:    cloudDeletedAt,
		}).Get(ctx, &imported)
	if err != nil {
		return false, err
	}
	if imported.TooFew {
		return false, needsPerson(errorTooFew, "%s", imported.Reason)
	}
	if !imported.Published {
		return false, needsPerson(errorWithheld, "%s", imported.Reason)
	}
	w.setPublished(sink.PublishedImport{
		ScrapingJob: job,
		Counts:      sink.Counts{Records: imported.Records, Rejected: imported.Rejected, Skipped: imported.Skipped},
		ImportID:    imported.ImportID,
		Bytes:       download.Bytes,
		SHA256:      download.SHA256,
	})
	w.progress.Problem, w.result.Problem = imported.Problem, imported.Problem
	w.imported, w.accepted, w.acceptFewer = true, false, false
	w.job, w.heldUntil = job, workflow.Now(ctx).Add(w.settings.hold)
	return true, nil
}
