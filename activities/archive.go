package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"gocloud.dev/gcerrors"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/sink"
)

// archiveError wraps an error of the archive: a broken connection does not say what it
// was connected to.
type archiveError struct{ error }

func (e archiveError) Unwrap() error { return e.error }

// archiveVerdict returns retriedBriefly if the bucket is missing or refuses.
func archiveVerdict(err error) verdict {
	switch gcerrors.Code(err) {
	case gcerrors.PermissionDenied, gcerrors.NotFound, gcerrors.InvalidArgument, gcerrors.FailedPrecondition, gcerrors.Unimplemented:
		return retriedBriefly
	}
	if kind, v := fileVerdict(err); kind == errorSpool {
		return v // an archive that is a folder
	}
	return retried
}

// archiveFile archives the file of a published import unless it is archived already.
// Heartbeats report progress with the archived bytes added.
func (a *Activities) archiveFile(ctx context.Context, in ImportRecordsInput, progress Progress) error {
	if a.Archive == nil {
		return nil
	}
	var read atomic.Int64
	defer keepHeartbeating(ctx, func() Progress {
		progress.Archived = read.Load()
		return progress
	})()
	err := untilWorkerStops(ctx, func(ctx context.Context) error { return a.putIntoArchive(ctx, in, &read) })
	switch {
	case err == nil, errors.Is(err, errWorkerStopping):
		return err
	case errors.Is(err, archive.ErrContentMismatch):
		err = fmt.Errorf("%w: %w", errFileGone, err)
	case !errors.Is(err, errFileGone):
		err = archiveError{err}
	}
	return fmt.Errorf("the records are published, but their file is not archived yet: %w", err)
}

func (a *Activities) putIntoArchive(ctx context.Context, in ImportRecordsInput, read *atomic.Int64) (err error) {
	same, err := a.latestIs(ctx, in)
	if err != nil || same {
		return err
	}
	file, err := a.openSpoolFile(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return a.Archive.Put(ctx, archive.File{
		Account: in.Job.Account, ScrapingJobID: in.Job.ScrapingJobID, RequestedAt: in.RequestedAt, Bytes: in.Bytes, SHA256: in.SHA256, Format: in.Format, Job: in.Job,
	}, &countingReader{Reader: file, ctx: ctx, read: read})
}

// latestIs reports whether the job's newest archived file is this one and belongs to
// the job as it is now. A corrupt file does not count.
func (a *Activities) latestIs(ctx context.Context, in ImportRecordsInput) (bool, error) {
	latest, content, err := a.Archive.OpenLatest(ctx, in.Job.Account, in.Job.ScrapingJobID)
	if errors.Is(err, archive.ErrCorrupt) {
		return false, nil
	}
	if err != nil || content == nil {
		return false, err
	}
	defer content.Close()
	return latest.SHA256 == in.SHA256 && latest.Job == in.Job, nil
}

// unarchived reports whether the file of the job's published import should be in the
// archive but is not. After the retention it need not be.
func (a *Activities) unarchived(ctx context.Context, job sink.ScrapingJob) (bool, error) {
	if a.Archive == nil {
		return false, nil
	}
	published, err := a.published(ctx, job.ScrapingJobID, job.Account)
	if err != nil || published == nil {
		return false, err
	}
	if a.ArchiveRetention > 0 && time.Since(published.PublishedAt) > a.ArchiveRetention {
		return false, nil
	}
	has, err := a.Archive.Has(ctx, published.Account, job.ScrapingJobID, published.SHA256)
	if err != nil {
		return false, archiveError{err}
	}
	return !has, nil
}

// restore puts the job's newest archived file into the spool instead of a download and
// adds it to the result, if the archive has one.
func (a *Activities) restore(ctx context.Context, in DownloadScrapingJobInput, result DownloadScrapingJobResult) (DownloadScrapingJobResult, error) {
	if a.Archive == nil {
		return result, nil
	}
	partial := newPartialFile(a.Spool, in.File, a.WorkerTaskQueue, Progress{})
	defer keepHeartbeating(ctx, partial.progress)()
	err := untilWorkerStops(ctx, func(ctx context.Context) error { return a.restoreLatest(ctx, in, &result, partial) })
	if err != nil {
		partial.leave(ctx, false)
	}
	return result, err
}

func (a *Activities) restoreLatest(ctx context.Context, in DownloadScrapingJobInput, result *DownloadScrapingJobResult, partial *partialFile) (err error) {
	latest, content, err := a.Archive.OpenLatest(ctx, result.Described.Account, in.ScrapingJobID)
	if err != nil {
		return archiveError{err}
	}
	if content == nil {
		return nil
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	if latest.Job.ScrapingJobID != in.ScrapingJobID {
		return archiveError{fmt.Errorf("%w: the newest file of scraping job %d has the job object of another job", archive.ErrCorrupt, in.ScrapingJobID)}
	}
	if err := a.Spool.checkFree(latest.Bytes); err != nil {
		return err
	}
	partial.reported.Store(&Progress{OfBytes: latest.Bytes})
	if err := partial.open(ctx); err != nil {
		return err
	}
	from := &countingReader{Reader: content, ctx: ctx, read: new(atomic.Int64)}
	_, err = io.Copy(partial, from)
	if from.err != nil {
		return archiveError{from.err}
	}
	if err == nil {
		err = partial.finish()
	}
	if err != nil {
		return err
	}
	result.Bytes, result.SHA256, result.Format = latest.Bytes, latest.SHA256, latest.Format
	result.Archived = &latest.Job
	return nil
}

// removeOldArchivedFiles removes archived files whose retention is over.
func (a *Activities) removeOldArchivedFiles(ctx context.Context, progress func()) (removed int, err error) {
	if a.Archive == nil || a.ArchiveRetention <= 0 {
		return 0, nil
	}
	removed, err = a.Archive.RemoveOlder(ctx, time.Now().Add(-a.ArchiveRetention), func(int) { progress() })
	if err != nil {
		return removed, archiveError{err}
	}
	return removed, nil
}

// countingReader counts the bytes read, fails when ctx ends, and keeps its error.
type countingReader struct {
	io.Reader
	ctx  context.Context
	read *atomic.Int64
	err  error
}

func (r *countingReader) Read(p []byte) (n int, err error) {
	if err = r.ctx.Err(); err == nil {
		n, err = r.Reader.Read(p)
	}
	r.read.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
