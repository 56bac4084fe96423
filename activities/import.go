package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/sink"
)

// ImportRecordsInput names a file of the spool and what to make of it.
type ImportRecordsInput struct {
	// Job is the job object that the download belongs to.
	Job sink.ScrapingJob `json:"job"`
	// File, Bytes and SHA256 are those of the download.
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Format is that of the download too.
	Format string `json:"format,omitempty"`
	// RunID and Pass identify the import, RequestedAt orders it among those of
	// the job; see postgres.ImportRequest.
	RunID       string    `json:"run_id"`
	Pass        int       `json:"pass"`
	RequestedAt time.Time `json:"requested_at"`
	// Accepted says that a person wants the records published however few they are.
	Accepted bool `json:"accepted,omitempty"`
	// BatchRecords is how many records are committed at a time.
	BatchRecords int `json:"batch_records"`
	// MaxRecordBytes is the size over which a record is rejected.
	MaxRecordBytes int `json:"max_record_bytes"`
	// MinRecordsPercent is how many records a finished job has to have, in percent
	// of those of the last one of its sitemap, to be published; 0 for any number.
	MinRecordsPercent int `json:"min_records_percent,omitempty"`
	// CloudDeletedAt is when the job was deleted in the cloud, for a file from the
	// archive: it stays noted.
	CloudDeletedAt *time.Time `json:"cloud_deleted_at,omitempty"`
}

// ImportRecordsResult is the outcome of an import.
type ImportRecordsResult struct {
	ImportID int64 `json:"import_id"`
	Records  int64 `json:"records"`
	Rejected int64 `json:"rejected"`
	Skipped  int64 `json:"skipped,omitempty"`
	// Published is false when readers go on seeing the import before; Reason
	// says why.
	Published bool   `json:"published"`
	Reason    string `json:"reason,omitempty"`
	// TooFew is set when a person may accept it as it is: the reason is
	// MinRecordsPercent, or the sink's.
	TooFew bool `json:"too_few,omitempty"`
	// Problem says in one sentence what was not done besides publishing the
	// records; only the attempt that published knows it.
	Problem string `json:"problem,omitempty"`
}

// ImportRecords imports the records of a downloaded file batch by batch,
// publishes them in one step, archives the file, if there is an archive, and
// removes the records that they replace. A retry resumes after the last committed
// batch; a retry of an import that has been published only finishes the rest.
//
// A finished job's download that holds fewer records than the job has stored
// is published as well, unless more of them are published already. One that has
// fewer than MinRecordsPercent is not published.
func (a *Activities) ImportRecords(ctx context.Context, in ImportRecordsInput) (ImportRecordsResult, error) {
	result, err := a.importRecords(ctx, in)
	if err != nil {
		return ImportRecordsResult{}, classify(ctx, err)
	}
	timeStep(ctx, stepImport)
	return result, nil
}

func (a *Activities) importRecords(ctx context.Context, in ImportRecordsInput) (result ImportRecordsResult, err error) {
	release, err := waitForSlot(ctx, lastProgress(ctx), a.slots.takeForImport)
	if err != nil {
		return result, err
	}
	defer release()
	var attempt sink.Import
	reached := func(removed int64) Progress {
		at := Progress{OfBytes: in.Bytes, OfRecords: in.Job.StoredRecordCount, Removed: removed}
		if attempt != nil {
			mark := attempt.Mark()
			at.Bytes, at.Records, at.Rejected, at.Skipped = mark.Bytes, mark.Records, mark.Rejected, mark.Skipped
		}
		return at
	}
	heartbeat := func() { activity.RecordHeartbeat(ctx, reached(0)) }
	attempt, err = a.Sink.BeginImport(ctx, sink.ImportRequest{
		Job:            in.Job,
		WorkflowRunID:  in.RunID,
		Pass:           in.Pass,
		RequestedAt:    in.RequestedAt,
		Bytes:          in.Bytes,
		SHA256:         in.SHA256,
		CloudDeletedAt: in.CloudDeletedAt,
		Accepted:       in.Accepted,
		Progress:       heartbeat,
	})
	if err != nil {
		return result, err
	}
	count := countCommitted(ctx, attempt.Mark)
	defer count()
	progress := func(removed int64) {
		count()
		activity.RecordHeartbeat(ctx, reached(removed))
	}
	progress(0)
	if !attempt.Published() {
		if err := a.load(ctx, in, attempt, func() { progress(0) }, heartbeat); err != nil {
			return result, err
		}
		if err := a.publish(ctx, in, attempt, &result, heartbeat); err != nil {
			return result, err
		}
	}
	if attempt.Published() {
		if err := a.archiveFile(ctx, in, reached(0)); err != nil {
			return result, err
		}
	}
	if err := a.Sink.RemoveUnneeded(ctx, in.Job.ScrapingJobID, progress); err != nil {
		return result, err
	}
	if err := a.Spool.remove(in.File); err != nil {
		return result, fmt.Errorf("removing the spool file: %w", err)
	}
	mark := attempt.Mark()
	result.ImportID, result.Records, result.Rejected, result.Skipped = attempt.ID(), mark.Records, mark.Rejected, mark.Skipped
	result.Published, result.Problem = attempt.Published(), attempt.Problem()
	return result, nil
}

// publish publishes what is loaded, or abandons it and notes in the result why.
func (a *Activities) publish(ctx context.Context, in ImportRecordsInput, attempt sink.Import, result *ImportRecordsResult, progress func()) (err error) {
	mark := attempt.Mark()
	if result.Reason, err = a.whyWithhold(ctx, in.Job, mark); err != nil {
		return err
	}
	if result.Reason == "" {
		result.Reason, err = a.whyTooFew(ctx, in, mark)
		if err != nil {
			return err
		}
		result.TooFew = result.Reason != ""
	}
	if result.Reason == "" {
		err = attempt.Publish(ctx, progress)
		withheld, ok := errors.AsType[*sink.WithheldError](err)
		switch {
		case ok:
			result.Reason, result.TooFew = withheld.Reason, true
		case err != nil:
			return err
		default:
			if problem := attempt.Problem(); problem != "" {
				activity.GetLogger(ctx).Warn("The records are published, but not all is as it should be", "problem", problem)
			}
			return nil
		}
	}
	return attempt.Abandon(ctx)
}

// load commits the records of the file from the import's mark to its end.
func (a *Activities) load(ctx context.Context, in ImportRecordsInput, attempt sink.Import, committed, heartbeat func()) (err error) {
	file, err := a.openSpoolFile(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	mark := attempt.Mark()
	if mark.Bytes > 0 || !a.Spool.wrote(in.File, in.SHA256) {
		if err := a.checkSameFile(ctx, file, in); err != nil {
			return err
		}
	}
	records, err := newRecordReader(file, in.Format, in.MaxRecordBytes, mark)
	if err != nil {
		return err
	}
	connections := max(1, a.ImportConnections)
	batches := prepareBatches(records, in, mark, connections+1, attempt.NewBatch, a.hookFor(ctx, in.Job, heartbeat))
	defer batches.stop() // before the file is closed
	return attempt.CommitBatches(ctx, connections, batches.next, func(batch sink.Batch) {
		batches.reuse(batch)
		committed()
	})
}

// openSpoolFile opens the downloaded file, or returns errFileGone when it is
// not there as it was.
func (a *Activities) openSpoolFile(in ImportRecordsInput) (*os.File, error) {
	path, err := a.Spool.path(in.File)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", errFileGone, in.File)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the spool file: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() != in.Bytes {
		err = fmt.Errorf("%w: %s has %d bytes, %d were downloaded", errFileGone, in.File, info.Size(), in.Bytes)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// checkSameFile returns errFileGone unless the file is the one that was
// downloaded: a late attempt at the download may have put another one there, or a
// crash of the host have taken some of it.
func (a *Activities) checkSameFile(ctx context.Context, file *os.File, in ImportRecordsInput) error {
	var read atomic.Int64
	defer keepHeartbeating(ctx, func() Progress { return Progress{Bytes: read.Load(), OfBytes: in.Bytes} })()
	hash := sha256.New()
	for chunk := make([]byte, 1<<20); ; {
		n, err := file.Read(chunk)
		hash.Write(chunk[:n])
		read.Add(int64(n))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the spool file: %w", err)
		}
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != in.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %s, what was downloaded had %s", errFileGone, in.File, sum, in.SHA256)
	}
	return nil
}

// whyWithhold protects what readers have from a download that came out short:
// the reason why the import is not to be published, or "".
func (a *Activities) whyWithhold(ctx context.Context, job sink.ScrapingJob, mark sink.Mark) (reason string, err error) {
	if mark.All() >= job.StoredRecordCount {
		return "", nil
	}
	published, err := a.published(ctx, job.ScrapingJobID)
	if err != nil || published == nil || published.Records <= mark.Records {
		return "", err
	}
	return fmt.Sprintf("the download held %d records, but the job has stored %d: the %d records published before stay",
		mark.All(), job.StoredRecordCount, published.Records), nil
}

// whyTooFew protects readers from an export that is empty or has shrunk, because
// the site has changed for instance.
func (a *Activities) whyTooFew(ctx context.Context, in ImportRecordsInput, mark sink.Mark) (reason string, err error) {
	if in.Accepted || in.MinRecordsPercent == 0 || !finished(in.Job) {
		return "", nil
	}
	last, err := a.Sink.LastOfSitemap(ctx, in.Job.SitemapName)
	if err != nil || last == nil || 100*mark.Records >= int64(in.MinRecordsPercent)*last.Records {
		return "", err
	}
	return fmt.Sprintf("the job has %d records, fewer than %d %% of the %d that were published of its sitemap last, from job %d (MIN_RECORDS_PERCENT)",
		mark.Records, in.MinRecordsPercent, last.Records, last.ScrapingJobID), nil
}
