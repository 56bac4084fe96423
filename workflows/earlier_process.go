package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// Versions of the process. They travel in the workflow's input, which costs an
// import no events of its history; workflow.GetVersion would cost two.
const (
	// describesApart is the version of all inputs that name none: the job is
	// described by an activity of its own, and its file removed by another.
	describesApart = 0
	// describesWithDownload describes the job where it is downloaded, and removes
	// the file where it has been imported.
	describesWithDownload = 1

	currentProcess = describesWithDownload
)

// describeThenDownload is the first half of an import as runs have it that were
// begun by version describesApart.
func (w *importScrapingJob) describeThenDownload(ctx workflow.Context, wanted request) (upToDate bool, err error) {
	w.show(ctx, StepDescribe, "")
	var described activities.DescribeScrapingJobResult
	err = workflow.ExecuteActivity(w.settings.cloudCall(ctx, "describe scraping job "+WorkflowID(w.id)), a.DescribeScrapingJob,
		activities.DescribeScrapingJobInput{ScrapingJobID: w.id, Filter: w.filterFor(wanted)}).Get(ctx, &described)
	if err != nil {
		return false, err
	}
	if !described.Due(wanted == reimport) {
		return w.leave(ctx, described), nil
	}
	w.learn(described)
	file := w.newFile(ctx, described.WorkerTaskQueue)
	defer w.removeFile(ctx, file)
	download, err := w.downloadOnWorker(ctx, file, nil)
	if err != nil {
		return false, err
	}
	return w.importFile(ctx, described, file, download)
}
