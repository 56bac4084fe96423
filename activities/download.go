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
	// Account is the job's; if it is empty, that of the published import, or else the
	// default account.
	Account string `json:"account,omitempty"`
	// File is the file's name in the spool.
	File string `json:"file"`
	// Source is which of the job's exports to download.
	Source Source `json:"source,omitzero"`
	// IfDue has the job described first, and downloaded only if it is due. Without
	// it the job is downloaded in any case.
	IfDue *IfDue `json:"if_due,omitempty"`
	// ByHand is set when a person has asked for it: calls of the API go first.
	ByHand bool `json:"by_hand,omitempty"`
	// DataQuality makes the API check a due job's data before the download; see
	// DownloadScrapingJobResult.FailedDataQuality.
	DataQuality bool `json:"data_quality,omitempty"`
	// Earlier is what an interrupted download has left on this worker.
	Earlier *Progress `json:"earlier,omitempty"`
}

// IfDue says which jobs are due.
type IfDue struct {
	// Filter is what a job has to pass.
	Filter Filter `json:"filter,omitzero"`
	// Again has a job imported again that is published as it is.
	Again bool `json:"again,omitempty"`
}

// DownloadScrapingJobResult describes the file.
type DownloadScrapingJobResult struct {
	// Wait is set when the account has no call of the API left: nothing was done, and
	// the activity is to be executed again after that time, which has been promised to
	// this workflow.
	Wait  time.Duration `json:"wait,omitempty"`
	Bytes int64         `json:"bytes"`
	// SHA256 is in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// Format is the file's, if it is not JSON. One from the archive need not be in
	// the format that was asked for.
	Format string `json:"format,omitempty"`
	// Described is what the job was found to be, if the input asked for that. When
	// it was not due, nothing was downloaded.
	Described *Description `json:"described,omitempty"`
	// FailedDataQuality names the failed criteria, in a sentence without a full stop, "" for
	// none.
	FailedDataQuality string `json:"failed_data_quality,omitempty"`
	// Archived is set when the cloud does not know the job any more, so that the
	// file comes from the archive: the job that it was made from.
	Archived *sink.ScrapingJob `json:"archived,omitempty"`
	// Interrupted is set when the file is not whole: the download has to go on,
	// without IfDue, on the task queue of the worker that has begun it, which is
	// Described.WorkerTaskQueue.
	Interrupted *Interruption `json:"interrupted,omitempty"`
}

// Interruption says how far a download came.
type Interruption struct {
	Reason string `json:"reason"`
	// Progress is the Earlier of the download that goes on.
	Progress Progress `json:"progress"`
}

// DownloadScrapingJob downloads an export of the job into the spool: to a temporary
// name first, so that a file under its own name is whole. A file of an earlier
// attempt is replaced.
//
// A retry goes on where the attempt before broke off, if that has left the
// beginning of the file and the server says that the content is still the same;
// otherwise it begins anew. With IfDue an attempt may come to any worker, so it
// leaves going on to the one that has the beginning. A job to be imported again that the
// cloud does not know any more comes from the archive.
func (a *Activities) DownloadScrapingJob(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
	defer a.Spool.noteAttempt(ctx)()
	var result DownloadScrapingJobResult
	var err error
	if in.IfDue != nil {
		result, err = a.downloadIfDue(ctx, in)
	} else {
		result, err = a.goOn(ctx, in)
	}
	if err == nil && result.SHA256 != "" {
		if result.Described != nil {
			in.Account = result.Described.Account
		}
		timeStep(ctx, in.Account, stepDownload)
	}
	return result, classify(ctx, err)
}

// goOn downloads in any case. A worker that was chosen for what it had of the file,
// and has no room for the rest, gives the job back to all.
func (a *Activities) goOn(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
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
	wait, err := of.calling(ctx, calls{class: postgres.CallsForDownloads, byHand: in.ByHand}, func(_, ctx context.Context) (err error) {
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

// notNow makes Temporal wait and retry, which keeps the heartbeat and the attempt's number:
// they say what was begun.
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
	purpose := calls{class: postgres.CallsForDownloads, byHand: in.ByHand, looks: &of.downloadLooks}
	if in.DataQuality {
		purpose.more = 1
	}
	wait, err := of.calling(ctx, purpose, func(looking, calling context.Context) (err error) {
		result, err = a.lookAndDownload(looking, calling, of, in, described, earlier)
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

func (a *Activities) lookAndDownload(
	looking, ctx context.Context, of *Account, in DownloadScrapingJobInput, described Description, earlier Progress,
) (result DownloadScrapingJobResult, err error) {
	stop := keepHeartbeating(looking, func() Progress { return earlier })
	described, err = a.describe(looking, of, in.ScrapingJobID, in.IfDue.Filter.For(of.name), described)
	stop()
	if err != nil {
		return result, err
	}
	timeStep(looking, of.name, stepDescribe)
	result.Described = &described
	if earlier.Partial != "" && earlier.WorkerTaskQueue != "" && earlier.WorkerTaskQueue != a.WorkerTaskQueue {
		described.WorkerTaskQueue = earlier.WorkerTaskQueue
		result.Interrupted = &Interruption{Reason: "the attempt that had begun it was not heard of any more", Progress: earlier}
		return result, nil
	}
	if !described.Found && in.IfDue.Again {
		return a.restore(ctx, in, result)
	}
	if !described.Due(in.IfDue.Again) {
		return result, nil
	}
	if in.DataQuality {
		if result.FailedDataQuality, err = of.failedDataQuality(ctx, described.Job, earlier); err != nil {
			return result, err
		}
	}
	earlier.OfRecords = described.Job.StoredRecordCount
	file, progress, err := a.download(ctx, of, in, earlier)
	if err == nil {
		result.Bytes, result.SHA256, result.Format = file.Bytes, file.SHA256, file.Format
		return result, nil
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](classify(ctx, err))
	if !ok || failure.Type() == errorRateLimited || progress.Partial == "" && !failure.NonRetryable() {
		// Cancelled; or Temporal waits for as long as the API says; or there is nothing
		// to go on with, so that any worker may take the next attempt.
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
			partial.leave(ctx, goesOn(ctx, err))
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

// transfer fills the partial file: with what the attempt before has left, and
// with the rest from the cloud.
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

// goesOn says whether another attempt can go on with what this one leaves: the
// transfer broke, the worker stops, or Temporal is not heard of. When the
// activity was cancelled or has been given to another attempt, nobody would
// remove what is left.
func goesOn(ctx context.Context, err error) bool {
	if cause := context.Cause(ctx); cause != nil {
		return !is[*serviceerror.NotFound](cause) && !temporal.IsCanceledError(cause)
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](classify(ctx, err))
	return ok && slices.Contains([]string{errorCloud, errorRateLimited, errorWorkerStopping}, failure.Type())
}
