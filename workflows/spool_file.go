package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// spoolFile is a downloaded file, with the task queue of the worker that has it.
type spoolFile struct {
	taskQueue, name string
	bytes           int64
	sha256, format  string
}

func (w *importScrapingJob) newFile(ctx workflow.Context) spoolFile {
	w.downloads++
	return spoolFile{name: activities.FileName(w.id, workflow.GetInfo(ctx).WorkflowExecution.RunID, w.downloads)}
}

// resumeDownload resumes an interrupted download on the worker that has its part of the
// file.
func (w *importScrapingJob) resumeDownload(
	ctx workflow.Context, file spoolFile, interrupted *activities.Interruption,
) (download activities.DownloadScrapingJobResult, err error) {
	w.logger.Info("Resuming the interrupted download", "task_queue", file.taskQueue, "reason", interrupted.Reason)
	w.show(ctx, StepDownload, interrupted.Reason)
	err = workflow.ExecuteActivity(w.onWorker(ctx, file.taskQueue, downloadTimeout, "download scraping job "+WorkflowID(w.id)), a.DownloadScrapingJob,
		activities.DownloadScrapingJobInput{
			ScrapingJobID: w.id, Account: w.account, File: file.name, Source: w.settings.source, Earlier: &interrupted.Progress, Manual: w.round.manual,
		}).Get(ctx, &download)
	return download, err
}

func (w *importScrapingJob) importInput(ctx workflow.Context) activities.ImportRecordsInput {
	var cloudDeletedAt *time.Time
	if w.round.restored != nil {
		cloudDeletedAt = w.published.CloudDeletedAt
	}
	return activities.ImportRecordsInput{
		Job:               w.job,
		File:              w.round.file.name,
		Bytes:             w.round.file.bytes,
		SHA256:            w.round.file.sha256,
		Format:            w.round.file.format,
		RunID:             workflow.GetInfo(ctx).WorkflowExecution.RunID,
		Pass:              w.round.pass,
		RequestedAt:       w.round.requestedAt,
		BatchRecords:      w.settings.BatchRecords,
		MaxRecordBytes:    w.settings.MaxRecordBytes,
		MaxRejected:       int64(w.settings.MaxRejected),
		MinRecordsPercent: w.settings.MinRecordsPercent,
		Accepted:          w.asked.Withheld,
		FailedDataQuality: w.round.failedDataQuality,
		CloudDeletedAt:    cloudDeletedAt,
		Restored:          w.round.restored != nil,
	}
}

// removeFile removes the file in parallel to the rounds, even after a cancellation. A
// failure does not fail the import: a worker that is gone took its disk along.
func (w *importScrapingJob) removeFile(ctx workflow.Context, file spoolFile) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	w.removals.Add(1)
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer cancel()
		defer w.removals.Done()
		err := workflow.ExecuteActivity(w.removal(ctx, file.taskQueue), a.RemoveFile, activities.RemoveFileInput{File: file.name}).Get(ctx, nil)
		if err != nil {
			w.logger.Warn("Removing the spool file failed", "task_queue", file.taskQueue, "file", file.name, "error", err)
		}
	})
}
