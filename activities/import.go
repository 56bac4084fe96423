package activities

import (
	"cmp"
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

// ImportRecordsInput is the input of ImportRecords: a file of the spool and how to import
// it.
type ImportRecordsInput struct {
	// Job is the job object that the download belongs to.
	Job sink.ScrapingJob `json:"job"`
	// File, Bytes, SHA256 and Format are those of the download.
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Format string `json:"format,omitempty"`
	// RunID and Pass identify the import, RequestedAt orders the job's imports; see
	// [sink.ImportRequest].
	RunID       string    `json:"run_id"`
	Pass        int       `json:"pass"`
	RequestedAt time.Time `json:"requested_at"`
	// Accepted are the questions that an operator has accepted.
	Accepted []sink.Question `json:"accepted_questions,omitempty"`
	// MaxRejected is how many records of a complete import may be rejected or left
	// unmapped.
	MaxRejected int64 `json:"max_rejected,omitempty"`
	// BatchRecords is how many records are committed at a time.
	BatchRecords int `json:"batch_records"`
	// MaxRecordBytes is the size above which a record is rejected.
	MaxRecordBytes int `json:"max_record_bytes"`
	// MinRecordsPercent is how many records a finished job must have to be published, in
	// percent of the sitemap's last job; 0 disables the check.
	MinRecordsPercent int `json:"min_records_percent,omitempty"`
	// FailedDataQuality names the failed criteria of the API's data quality check, in a
	// sentence without a period. If set, an operator decides.
	FailedDataQuality string `json:"failed_data_quality,omitempty"`
	// CloudDeletedAt is when the job was deleted in the cloud, for a file from the
	// archive. It stays recorded.
	CloudDeletedAt *time.Time `json:"cloud_deleted_at,omitempty"`
	// Restored is set for a file from the archive.
	Restored bool `json:"restored,omitempty"`
}

// ImportRecordsResult is the outcome of an import.
type ImportRecordsResult struct {
	ImportID int64 `json:"import_id"`
	sink.Counts
	// Published is false if readers keep seeing the previous import until an operator
	// decides; Reason says why.
	Published bool   `json:"published"`
	Reason    string `json:"reason,omitempty"`
	// Question is what the operator decides.
	Question *sink.Question `json:"question,omitempty"`
	// Problem says in one sentence what failed in addition to publishing the records.
	Problem string `json:"problem,omitempty"`
	// Announce is what to start for the published import.
	Announce *Announcement `json:"announce,omitempty"`
}

// ImportRecords imports the records of a downloaded file batch by batch, publishes them
// in one step, archives the file, if there is an archive, and removes the records that
// they replace. A retry resumes after the last committed batch; if the import is published
// already, it only finishes the rest.
//
// A download with fewer records than the job has stored is published too. An import is not
// published until an operator accepts it if it is worse than the job's published one, has
// no good records or fewer than MinRecordsPercent, has FailedDataQuality, or is withheld by
// the sink.
func (a *Activities) ImportRecords(ctx context.Context, in ImportRecordsInput) (ImportRecordsResult, error) {
	defer a.Spool.noteAttempt(ctx)()
	result, err := a.importRecords(ctx, in)
	if err == nil {
		timeStep(ctx, in.Job.Account, stepImport)
	}
	return result, classify(ctx, err)
}

func (a *Activities) importRecords(ctx context.Context, in ImportRecordsInput) (result ImportRecordsResult, err error) {
	release, err := waitForSlot(ctx, lastProgress(ctx), a.slots.takeForImport)
	if err != nil {
		return result, err
	}
	defer release()
	ctx, stop := endWhenSilent(ctx)
	defer func() { err = stop(err) }()
	var attempt sink.Import
	reached := func(removed int64) Progress {
		at := Progress{OfBytes: in.Bytes, OfRecords: in.Job.StoredRecordCount, Removed: removed}
		if attempt != nil {
			checkpoint := attempt.Checkpoint()
			at.Bytes, at.Counts = checkpoint.Bytes, checkpoint.Counts
		}
		return at
	}
	heartbeat := func() { recordHeartbeat(ctx, reached(0)) }
	attempt, err = a.Sink.BeginImport(ctx, sink.ImportRequest{
		Job:            in.Job,
		WorkflowRunID:  in.RunID,
		Pass:           in.Pass,
		RequestedAt:    in.RequestedAt,
		Bytes:          in.Bytes,
		SHA256:         in.SHA256,
		CloudDeletedAt: in.CloudDeletedAt,
		Restored:       in.Restored,
		Accepted:       in.Accepted,
		Announce:       a.announces(in.Job.SitemapName),
		Progress:       heartbeat,
	})
	if err != nil {
		return result, err
	}
	count := countCommitted(ctx, in.Job.Account, attempt.Checkpoint)
	defer count()
	progress := func(removed int64) {
		count()
		recordHeartbeat(ctx, reached(removed))
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
		if result.Announce, err = a.announcement(ctx, in.Job.SitemapName, attempt.ID()); err != nil {
			return result, err
		}
	}
	if err := a.Sink.RemoveUnneeded(ctx, in.Job.ScrapingJobID, progress); err != nil {
		return result, err
	}
	if err := a.Spool.remove(in.File); err != nil {
		return result, fmt.Errorf("removing the spool file: %w", err)
	}
	result.ImportID, result.Counts = attempt.ID(), attempt.Checkpoint().Counts
	if a.Archive != nil && attempt.Published() {
		result.Cut = 0 // the archive has the complete records
	}
	result.Published, result.Problem = attempt.Published(), attempt.Problem()
	return result, nil
}

// publish publishes what is loaded, or abandons it and adds the reason to the result.
func (a *Activities) publish(ctx context.Context, in ImportRecordsInput, attempt sink.Import, result *ImportRecordsResult, progress func()) error {
	asked, err := a.whyWithhold(ctx, in, attempt)
	if err != nil {
		return err
	}
	if asked == nil {
		err = attempt.Publish(ctx, progress)
		withheld, ok := errors.AsType[*sink.WithheldError](err)
		if !ok {
			if problem := attempt.Problem(); err == nil && problem != "" {
				activity.GetLogger(ctx).Warn("The records are published, but something else failed", "account", cmp.Or(in.Job.Account, sink.DefaultAccount), "problem", problem)
			}
			return err
		}
		asked = &withheld.Question
	}
	result.Question = asked
	if result.Reason, err = a.nothingPublished(ctx, in, asked.Reason); err != nil {
		return err
	}
	return attempt.Abandon(ctx)
}

// load commits the records of the file after the import's checkpoint.
func (a *Activities) load(ctx context.Context, in ImportRecordsInput, attempt sink.Import, committed, heartbeat func()) (err error) {
	file, err := a.openSpoolFile(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	checkpoint := attempt.Checkpoint()
	if checkpoint.Bytes > 0 || !a.Spool.wrote(in.File, in.SHA256) {
		if err := a.checkSameFile(ctx, file, in); err != nil {
			return err
		}
	}
	records, err := newRecordReader(file, in.Format, in.MaxRecordBytes, checkpoint)
	if err != nil {
		return err
	}
	connections := max(1, a.ImportConnections)
	batches := prepareBatches(records, in, checkpoint, connections+1, attempt.NewBatch, a.hookFor(ctx, in.Job, heartbeat))
	defer batches.stop() // before the file is closed
	return attempt.CommitBatches(ctx, connections, batches.next, func(batch sink.Batch) {
		batch.Reset()
		batches.empty <- batch
		committed()
	})
}

// openSpoolFile opens the downloaded file. It returns errFileGone if the file is missing
// or its size has changed.
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
		return nil, spoolError{fmt.Errorf("opening the spool file: %w", err)}
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

// checkSameFile returns errFileGone unless the file is the one that was downloaded: a
// stale attempt at the download may have replaced it, or a crash of the host may have
// destroyed some of it.
func (a *Activities) checkSameFile(ctx context.Context, file *os.File, in ImportRecordsInput) error {
	var read atomic.Int64
	defer keepHeartbeating(ctx, func() Progress { return Progress{Bytes: read.Load(), OfBytes: in.Bytes} })()
	hash := sha256.New()
	if _, err := io.Copy(hash, &countingReader{Reader: file, ctx: ctx, read: &read}); err != nil {
		return spoolError{fmt.Errorf("reading the spool file: %w", err)}
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != in.SHA256 {
		return fmt.Errorf("%w: %s has SHA-256 %s, the download had %s", errFileGone, in.File, sum, in.SHA256)
	}
	return nil
}
