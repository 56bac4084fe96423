package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// spoolFile is a file, and the task queue of the worker that has it.
type spoolFile struct {
	taskQueue, name string
}

func (w *importScrapingJob) newFile(ctx workflow.Context) spoolFile {
	w.downloads++
	return spoolFile{name: activities.FileName(w.id, workflow.GetInfo(ctx).WorkflowExecution.RunID, w.downloads)}
}

func (w *importScrapingJob) downloadSummary() string {
	return "download scraping job " + WorkflowID(w.id)
}

// downloadOnWorker downloads on the file's worker, going on with what an
// interrupted download has left there.
func (w *importScrapingJob) downloadOnWorker(ctx workflow.Context, file spoolFile, earlier activities.Progress) (download activities.DownloadScrapingJobResult, err error) {
	err = workflow.ExecuteActivity(w.onWorker(ctx, file.taskQueue, downloadTimeout, w.downloadSummary()), a.DownloadScrapingJob,
		activities.DownloadScrapingJobInput{ScrapingJobID: w.id, File: file.name, Source: w.settings.source, Earlier: &earlier}).Get(ctx, &download)
	return download, err
}

// removeFile has the file removed, also when ctx has been cancelled. A worker
// that is gone has taken the file along, which is no reason to fail or to wait.
func (w *importScrapingJob) removeFile(ctx workflow.Context, file spoolFile) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	w.removals.Add(1)
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer cancel()
		defer w.removals.Done()
		err := workflow.ExecuteActivity(w.removal(ctx, file.taskQueue), a.RemoveFile, activities.RemoveFileInput{File: file.name}).Get(ctx, nil)
		if err != nil {
			w.logger.Warn("The spool file was not removed", "TaskQueue", file.taskQueue, "File", file.name, "Error", err)
		}
	})
}

func (w *importScrapingJob) awaitRemovals(ctx workflow.Context) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	w.removals.Wait(ctx)
}
