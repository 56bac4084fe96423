package activities

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"
)

// DownloadScrapingJobInput names the job and the file to make.
type DownloadScrapingJobInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// File is the file's name in the spool.
	File string `json:"file"`
}

// DownloadScrapingJobResult describes the file.
type DownloadScrapingJobResult struct {
	Bytes int64 `json:"bytes"`
	// SHA256 is in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
}

// DownloadScrapingJob downloads the job's JSON into the spool: to a temporary
// name first, so that a file under its own name is whole. A file of an earlier
// attempt is replaced.
//
// A retry goes on where the attempt before broke off, if that has left the
// beginning of the file and the server says that the content is still the same;
// otherwise it begins anew.
func (a *Activities) DownloadScrapingJob(ctx context.Context, in DownloadScrapingJobInput) (DownloadScrapingJobResult, error) {
	result, err := a.download(ctx, in)
	if err != nil {
		return DownloadScrapingJobResult{}, classify(ctx, err)
	}
	timeStep(ctx, stepDownload)
	return result, nil
}

func (a *Activities) download(ctx context.Context, in DownloadScrapingJobInput) (result DownloadScrapingJobResult, err error) {
	path, err := a.Spool.path(in.File)
	if err != nil {
		return result, err
	}
	partial := newPartialFile(a.Spool, in.File, lastProgress(ctx))
	defer func() {
		if err != nil {
			partial.leave(ctx, goesOn(ctx, err))
		}
	}()
	release, err := waitForSlot(ctx, a.Slots.takeForDownload)
	if err != nil {
		return result, err
	}
	defer release()
	if err := a.Spool.checkFree(0); err != nil {
		return result, err
	}
	defer keepHeartbeating(ctx, partial.progress)()
	if err := a.transfer(ctx, in.ScrapingJobID, partial); err != nil {
		return result, err
	}
	if err := errors.Join(partial.file.Sync(), partial.file.Close()); err != nil {
		return result, fmt.Errorf("writing the spool file: %w", err)
	}
	if err := os.Rename(partial.file.Name(), path); err != nil {
		return result, fmt.Errorf("naming the spool file: %w", err)
	}
	return DownloadScrapingJobResult{Bytes: partial.written.Load(), SHA256: hex.EncodeToString(partial.hash.Sum(nil))}, nil
}

// transfer fills the partial file: with what the attempt before has left, and
// with the rest from the cloud.
func (a *Activities) transfer(ctx context.Context, scrapingJobID int64, partial *partialFile) error {
	stoppable, cancel := cancelOnWorkerStop(ctx)
	defer cancel()
	err := partial.open(stoppable)
	if err == nil {
		_, err = a.Cloud.DownloadScrapingJobJSON(stoppable, scrapingJobID, partial, partial.downloadOptions(ctx)...)
		if err != nil {
			err = cloudError{err}
		}
	}
	if cause := context.Cause(stoppable); err != nil && errors.Is(cause, errWorkerStopping) {
		return cause
	}
	return err
}

// goesOn says whether another attempt can go on with what this one leaves: the
// transfer broke, the worker stops, or Temporal is not heard of. When the
// activity was cancelled or has been given to another attempt, nobody would
// remove what is left.
func goesOn(ctx context.Context, err error) bool {
	if cause := context.Cause(ctx); cause != nil {
		_, notFound := errors.AsType[*serviceerror.NotFound](cause)
		return !notFound && !temporal.IsCanceledError(cause)
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](classify(ctx, err))
	return ok && slices.Contains([]string{ErrorCloud, ErrorRateLimited, ErrorWorkerStopping}, failure.Type())
}

// RemoveFileInput names a file of the spool.
type RemoveFileInput struct {
	File string `json:"file"`
}

// RemoveFile removes the file from the spool, with what broken downloads of it
// have left. A file that is gone already is no error.
func (a *Activities) RemoveFile(ctx context.Context, in RemoveFileInput) error {
	if err := a.Spool.remove(in.File); err != nil {
		return classify(ctx, fmt.Errorf("removing the spool file: %w", err))
	}
	return nil
}
