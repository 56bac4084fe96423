package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// DeleteScrapingJobInput has everything that decides whether a scraping job may be
// deleted in Web Scraper Cloud: the import's result and what an operator accepted.
type DeleteScrapingJobInput struct {
	// Job is the job as it was when it was imported.
	Job sink.ScrapingJob `json:"job"`
	// ImportID is the import's ID, Counts its record counts.
	ImportID int64       `json:"import_id"`
	Counts   sink.Counts `json:"counts"`
	// MaxRejected is how many records may be rejected or left unmapped. Accepted is set
	// if an operator wants the job deleted despite everything that WhyKeep reports.
	MaxRejected int64 `json:"max_rejected,omitempty"`
	Accepted    bool  `json:"accepted,omitempty"`
	// Manual is set if an operator requested it: its API calls have priority.
	Manual bool `json:"by_hand,omitempty"`
}

// WhyKeep is the deletion rule. It says why the job must stay in Web Scraper Cloud, in
// one sentence without a period, "" if it may be deleted. kind is
// ErrorRejectedRecords or ErrorCountMismatch if an operator may accept the import
// anyway, "" if the job stays regardless. Accepting covers everything that is wrong with
// the import, so the sentence reports everything.
func (in DeleteScrapingJobInput) WhyKeep() (kind, reason string) {
	var reasons []string
	if in.Counts.All() != in.Job.StoredRecordCount {
		kind = ErrorCountMismatch
		held := recordsWere(in.Counts.Records) + " imported"
		if in.Counts.All() != in.Counts.Records {
			held = recordsWere(in.Counts.All()) + " in the file"
		}
		reasons = append(reasons, fmt.Sprintf("%s, but the job has stored %s", held, humanize.Comma(in.Job.StoredRecordCount)))
	}
	if in.Counts.Bad() > in.MaxRejected || in.Counts.Cut > 0 {
		kind = ErrorRejectedRecords
		reasons = append(in.bad(), reasons...)
	}
	switch {
	case kind != "" && !in.Accepted:
		return kind, strings.Join(reasons, "; ")
	case !finished(in.Job):
		return "", fmt.Sprintf("the job is %q: it can still be continued in Web Scraper Cloud", in.Job.Status)
	}
	return "", ""
}

// bad describes the rejected and the unmapped records.
func (in DeleteScrapingJobInput) bad() (reasons []string) {
	if n := in.Counts.Rejected; n > 0 {
		reason := recordsWere(n) + " rejected"
		if cut := in.Counts.Cut; cut > 0 {
			reason += fmt.Sprintf(", %s of them kept only in part, the first 64 KiB", humanize.Comma(cut))
		}
		reasons = append(reasons, reason+" (see scrapehaul.rejected_records)")
	}
	if n := in.Counts.Unmapped; n > 0 {
		reasons = append(reasons, recordsWere(n)+" imported without a row in the mapped table (see scrapehaul.unmapped_records)")
	}
	return reasons
}

// Missing says how many of the job's records are missing or different here, for the
// operator who accepts that.
func (in DeleteScrapingJobInput) Missing() string {
	stored := humanize.Comma(in.Job.StoredRecordCount)
	var missing []string
	add := func(n int64, where string) {
		if n <= 0 {
			return
		}
		text := humanize.Comma(n)
		if len(missing) == 0 {
			text += " of its " + stored + " records"
		}
		missing = append(missing, text+" "+where)
	}
	add(in.Counts.Rejected, "only in scrapehaul.rejected_records")
	add(in.Counts.Cut, "only in part")
	add(in.Counts.Unmapped, "without a row in the mapped table")
	add(in.Job.StoredRecordCount-in.Counts.All(), "missing here")
	if in.Counts.All() > in.Job.StoredRecordCount {
		missing = append(missing, humanize.Comma(in.Counts.All())+" here instead of "+stored)
	}
	return strings.Join(missing, ", ")
}

func recordsWere(n int64) string {
	if n == 1 {
		return "1 record was"
	}
	return humanize.Comma(n) + " records were"
}

// DeleteScrapingJobResult says whether the job was deleted in the cloud.
type DeleteScrapingJobResult struct {
	Deleted bool `json:"deleted"`
	// Wait is as in [DownloadScrapingJobResult].
	Wait time.Duration `json:"wait,omitempty"`
	// Changed is set if the job has run again or is running: the cloud may have records
	// that are not imported.
	Changed bool `json:"changed,omitempty"`
	// Unarchived is set if the import's file should be in the archive but is not: the job
	// must be re-imported before it is deleted.
	Unarchived bool `json:"unarchived,omitempty"`
	// Removed is set if retention has removed the records: they cannot be verified, and
	// the job stays in the cloud.
	Removed bool `json:"removed,omitempty"`
	// Reason says in one sentence why the job was not deleted.
	Reason string `json:"reason,omitempty"`
}

// deletionTimeout bounds the deletion itself, which has no deadline of its own.
const deletionTimeout = time.Minute

// DeleteScrapingJob deletes the job in Web Scraper Cloud after one more check: the import
// is the published one; the records counted in the database match what was imported and
// what the job has stored; the job is finished and has not run again; its file is
// archived, if there is an archive. A job that no longer exists in the cloud counts as
// deleted.
func (a *Activities) DeleteScrapingJob(ctx context.Context, in DeleteScrapingJobInput) (DeleteScrapingJobResult, error) {
	defer keepHeartbeating(ctx, noProgress)()
	var result DeleteScrapingJobResult
	of, err := a.account(in.Job.Account)
	if err != nil {
		return result, classify(ctx, err)
	}
	purpose := calls{class: postgres.CallsForDeletions, manual: in.Manual, checks: &of.deletionChecks}
	result.Wait, err = of.calling(ctx, purpose, func(checking, calling context.Context) (err error) {
		result, err = a.verifyAndDelete(checking, calling, of, in)
		return err
	})
	if err == nil && result.Wait == 0 {
		timeStep(ctx, in.Job.Account, stepDelete)
	}
	return result, classify(ctx, err)
}

func (a *Activities) verifyAndDelete(checking, ctx context.Context, of *Account, in DeleteScrapingJobInput) (result DeleteScrapingJobResult, err error) {
	id := in.Job.ScrapingJobID
	if result.Reason, result.Removed, err = a.whyKeep(ctx, in); err != nil || result.Reason != "" {
		return result, err
	}
	job, found, err := of.scrapingJob(checking, id)
	if err != nil {
		return result, err
	}
	if found && !job.SameContent(in.Job) {
		result.Changed, result.Reason = true, fmt.Sprintf("the job has run again since it was imported: it is %q now", job.Status)
		return result, nil
	}
	if found {
		if result.Unarchived, err = a.unarchived(ctx, in.Job); err != nil {
			return result, err
		}
		if result.Unarchived {
			result.Reason = "the imported file is not in the archive: check that all workers have the same ARCHIVE_URL"
			return result, nil
		}
	}
	// An import closed until here keeps its job. From here on a cancellation ends nothing, as
	// the workflow must know whether the job is deleted.
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	defer keepHeartbeating(ctx, noProgress)()
	ctx, cancel := context.WithTimeout(ctx, deletionTimeout)
	defer cancel()
	if found {
		if err := of.cloud.DeleteScrapingJob(ctx, id); err != nil && !webscraper.IsNotFound(err) {
			return result, cloudError{err}
		}
	}
	err = a.Sink.SetCloudDeleted(ctx, id)
	result.Deleted = err == nil
	return result, err
}

// whyKeep applies the rule to what is in the database. An empty reason means that the
// cloud's copy is no longer needed. removed is set if the records were removed.
func (a *Activities) whyKeep(ctx context.Context, in DeleteScrapingJobInput) (reason string, removed bool, err error) {
	counted, published, err := a.Sink.CountPublished(ctx, in.Job.ScrapingJobID, in.ImportID)
	if err != nil {
		return "", false, err
	}
	if !published || counted.Cut > 0 {
		last, err := a.published(ctx, in.Job.ScrapingJobID, in.Job.Account)
		switch {
		case err != nil:
			return "", false, err
		case last != nil && last.RemovedAt != nil:
			return RemovedReason(*last), true, nil
		case !published:
			return fmt.Sprintf("import %d is not the published one", in.ImportID), false, nil
		case last != nil: // the archive may have them
			counted.Cut = last.Cut
		}
	}
	// Accepting covers no more than the operator was shown.
	in.Accepted = in.Accepted && counted.Unmapped <= in.Counts.Unmapped && counted.Cut <= in.Counts.Cut
	in.Counts.Unmapped, in.Counts.Cut = counted.Unmapped, counted.Cut
	if counted != in.Counts {
		return fmt.Sprintf("the database has %d records, %d rejected and %d skipped ones, but the import had %d, %d and %d",
			counted.Records, counted.Rejected, counted.Skipped, in.Counts.Records, in.Counts.Rejected, in.Counts.Skipped), false, nil
	}
	_, reason = in.WhyKeep()
	return reason, false, nil
}
