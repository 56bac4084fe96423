package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// DownloadScrapingJobInput names the job and the file to make.
type DownloadScrapingJobInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account is the job's account; if empty, that of the published import, or else the
	// default account.
	Account string `json:"account,omitempty"`
	// File is the file's name in the spool.
	File string `json:"file"`
	// Source is which of the job's exports to download.
	Source Source `json:"source,omitzero"`
	// IfDue makes the activity describe the job first and download it only if it is due.
	// Without it the job is always downloaded.
	IfDue *IfDue `json:"if_due,omitempty"`
	// Manual is set if an operator requested it: its API calls have priority.
	Manual bool `json:"by_hand,omitempty"`
	// DataQuality makes the API check a due job's data before the download; see
	// DownloadScrapingJobResult.FailedDataQuality.
	DataQuality bool `json:"data_quality,omitempty"`
	// Earlier is what an interrupted download has left on this worker.
	Earlier *Progress `json:"earlier,omitempty"`
}

// IfDue says which jobs are due.
type IfDue struct {
	// Filter is the filter that a job must pass.
	Filter Filter `json:"filter,omitzero"`
	// Again makes a job due even if its current content is published.
	Again bool `json:"again,omitempty"`
}

// DownloadScrapingJobResult is one of these outcomes:
//   - not now: only Wait
//   - not due, with IfDue: only Described
//   - downloaded: Bytes, SHA256 and Format; with IfDue also Described and FailedDataQuality
//   - from the archive, with IfDue.Again: the same, and Archived
//   - interrupted, with IfDue: Described, FailedDataQuality and Interrupted
type DownloadScrapingJobResult struct {
	// Wait is set if the account has no API call left: nothing was done. Execute the
	// activity again after that time, which is reserved for this workflow.
	Wait  time.Duration `json:"wait,omitempty"`
	Bytes int64         `json:"bytes"`
	// SHA256 is in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// Format is the file's format if it is not JSON. A file from the archive may have
	// another format than the requested one.
	Format string `json:"format,omitempty"`
	// Described is the job's description, if the input has IfDue. If the job was not due,
	// nothing was downloaded.
	Described *Description `json:"described,omitempty"`
	// FailedDataQuality names the failed criteria, in a sentence without a period, "" for
	// none.
	FailedDataQuality string `json:"failed_data_quality,omitempty"`
	// Archived is set if the job no longer exists in the cloud and the file comes from the
	// archive. It is the job that the file was made from.
	Archived *sink.ScrapingJob `json:"archived,omitempty"`
	// Interrupted is set if the file is incomplete. The download must be resumed, without
	// IfDue, on the task queue of the worker that started it, Described.WorkerTaskQueue.
	Interrupted *Interruption `json:"interrupted,omitempty"`
}

// Interruption is why a download was interrupted, and its progress.
type Interruption struct {
	Reason string `json:"reason"`
	// Progress is the Earlier of the resumed download.
	Progress Progress `json:"progress"`
}

// DownloadScrapingJob downloads an export of the job into the spool. It writes to a
// temporary name first, so a file with its final name is complete. A file of an earlier
// attempt is replaced.
//
// A retry resumes the previous attempt's partial file if the server confirms that the
// content is unchanged; otherwise it starts over. With IfDue, any worker may get the
// retry; one without the partial file returns Interrupted. A job to be imported again that
// no longer exists in the cloud comes from the archive.
func (a *Activities) DownloadScrapingJob(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
	defer a.Spool.noteAttempt(ctx)()
	var result DownloadScrapingJobResult
	var err error
	if in.IfDue != nil {
		result, err = a.downloadIfDue(ctx, in)
	} else {
		result, err = a.resumeDownload(ctx, in)
	}
	if err == nil && result.SHA256 != "" {
		if result.Described != nil {
			in.Account = result.Described.Account
		}
		timeStep(ctx, in.Account, stepDownload)
	}
	return result, classify(ctx, err)
}

// resumeDownload downloads the job whether it is due or not. If a worker was chosen for
// its partial file but has no room for the rest, any worker may take the download.
func (a *Activities) resumeDownload(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
	var result DownloadScrapingJobResult
	var left Progress
	of, err := a.account(in.Account)
	if err != nil {
		return result, err
	}
	earlier := lastProgress(ctx)
	if earlier == (Progress{}) && in.Earlier != nil {
		earlier = *in.Earlier
	}
	release, err := waitForSlot(ctx, earlier, a.slots.takeForDownload)
	if err != nil {
		return result, err
	}
	defer release()
	wait, err := of.calling(ctx, calls{class: postgres.CallsForDownloads, manual: in.Manual}, func(_, ctx context.Context) (err error) {
		result, left, err = a.download(ctx, of, in, earlier)
		return err
	})
	if wait > 0 {
		return result, notNow(fmt.Sprintf("download scraping job %d", in.ScrapingJobID), wait)
	}
	if err != nil && in.Earlier != nil && left.Partial == "" {
		if kind, _, _ := judge(err); kind == ErrorDiskFull {
			return result, fmt.Errorf("%w: %w", errHandedBack, err)
		}
	}
	return result, err
}

// notNow makes Temporal wait and retry. Unlike a Wait in the result, that keeps the
// heartbeat and the attempt number, which show what was started.
func notNow(operation string, wait time.Duration) error {
	return cloudError{&webscraper.Error{
		Operation:  operation,
		StatusCode: http.StatusTooManyRequests,
		RetryAfter: wait,
		Message:    "the account has no call left for " + wait.Round(time.Second).String(),
	}}
}

func (a *Activities) downloadIfDue(ctx context.Context, in DownloadScrapingJobInput) (result DownloadScrapingJobResult, err error) {
	earlier := lastProgress(ctx)
	release, err := waitForSlot(ctx, earlier, a.slots.takeReserved)
	if err != nil {
		return result, err
	}
	defer release()
	stop := keepHeartbeating(ctx, func() Progress { return earlier })
	described, err := a.describePublished(ctx, in.ScrapingJobID, in.Account)
	stop()
	if err != nil {
		return result, err
	}
	if described.OtherAccount != "" {
		result.Described = &described
		return result, a.refuse(ctx, in.ScrapingJobID, described.Account, described.OtherAccount)
	}
	of, err := a.account(described.Account)
	if err != nil {
		return result, err
	}
	purpose := calls{class: postgres.CallsForDownloads, manual: in.Manual, checks: &of.downloadChecks}
	if in.DataQuality {
		purpose.more = 1
	}
	wait, err := of.calling(ctx, purpose, func(checking, calling context.Context) (err error) {
		result, err = a.checkAndDownload(checking, calling, of, in, described, earlier)
		return err
	})
	switch {
	case wait > 0 && earlier.Partial != "":
		return result, notNow(fmt.Sprintf("download scraping job %d", in.ScrapingJobID), wait)
	case wait > 0:
		return DownloadScrapingJobResult{Wait: wait}, nil
	}
	return result, err
}

func (a *Activities) checkAndDownload(
	checking, ctx context.Context, of *Account, in DownloadScrapingJobInput, described Description, earlier Progress,
) (result DownloadScrapingJobResult, err error) {
	stop := keepHeartbeating(checking, func() Progress { return earlier })
	described, err = a.describe(checking, of, in.ScrapingJobID, in.IfDue.Filter.For(of.name), described)
	stop()
	if err != nil {
		return result, err
	}
	timeStep(checking, of.name, stepDescribe)
	result.Described = &described
	if !described.Found && in.IfDue.Again {
		if result, err = a.restore(ctx, in, result); err != nil || result.Archived != nil {
			return result, err
		}
	}
	due := described.Due(in.IfDue.Again)
	if due && in.DataQuality {
		if result.FailedDataQuality, err = of.failedDataQuality(ctx, described.Job, earlier); err != nil {
			return result, err
		}
	}
	if earlier.Partial != "" && earlier.WorkerTaskQueue != "" && earlier.WorkerTaskQueue != a.WorkerTaskQueue {
		// If the job is not due, the workflow removes the file there.
		described.WorkerTaskQueue = earlier.WorkerTaskQueue
		result.Interrupted = &Interruption{Reason: "the attempt that started it stopped sending heartbeats", Progress: earlier}
		return result, nil
	}
	if !due {
		return result, nil
	}
	earlier.OfRecords = described.Job.StoredRecordCount
	file, progress, err := a.download(ctx, of, in, earlier)
	if err == nil {
		result.Bytes, result.SHA256, result.Format = file.Bytes, file.SHA256, file.Format
		return result, nil
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](classify(ctx, err))
	if !ok || failure.Type() == errorRateLimited || progress.Partial == "" && !failure.NonRetryable() {
		// Canceled; or Temporal waits as long as the API demands; or there is nothing to
		// resume, so any worker may take the next attempt.
		return result, err
	}
	result.Interrupted = &Interruption{Reason: failure.Message(), Progress: progress}
	return result, nil
}

func (a *Activities) download(
	ctx context.Context, of *Account, in DownloadScrapingJobInput, earlier Progress,
) (result DownloadScrapingJobResult, reached Progress, err error) {
	if _, err := a.Spool.path(in.File); err != nil {
		return result, reached, err
	}
	partial := newPartialFile(a.Spool, in.File, a.WorkerTaskQueue, earlier)
	defer func() {
		if err != nil {
			partial.leave(ctx, resumable(ctx, err))
			reached = partial.progress()
		}
	}()
	if err := a.Spool.checkFree(0); err != nil {
		return result, reached, err
	}
	defer keepHeartbeating(ctx, partial.progress)()
	if err := of.transfer(ctx, in, partial); err != nil {
		return result, reached, err
	}
	if err := partial.finish(); err != nil {
		return result, reached, err
	}
	return DownloadScrapingJobResult{Bytes: partial.written.Load(), SHA256: partial.sha256(), Format: in.Source.Format}, reached, nil
}

// transfer fills the partial file with what the previous attempt has left and the rest
// from the cloud.
func (a *Account) transfer(ctx context.Context, in DownloadScrapingJobInput, partial *partialFile) error {
	return untilWorkerStops(ctx, func(stoppable context.Context) error {
		if err := partial.open(stoppable); err != nil {
			return err
		}
		options := partial.downloadOptions(ctx)
		options.Raw = in.Source.Raw
		format := webscraper.Format(cmp.Or(in.Source.Format, FormatJSON))
		_, err := a.cloud.DownloadScrapingJob(stoppable, in.ScrapingJobID, partial, format, options)
		return fromCloud(err)
	})
}

// resumable reports whether another attempt can resume what this one leaves: the transfer
// failed, the worker stops, or Temporal is unreachable. If the activity was canceled or
// another attempt has it, nothing would remove the leftovers.
func resumable(ctx context.Context, err error) bool {
	if cause := context.Cause(ctx); cause != nil {
		return !is[*serviceerror.NotFound](cause) && !temporal.IsCanceledError(cause)
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](classify(ctx, err))
	return ok && slices.Contains([]string{errorCloud, errorRateLimited, errorWorkerStopping}, failure.Type())
}
