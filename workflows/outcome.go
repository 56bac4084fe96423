package workflows

import (
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

const keptByPerson = "a person decided to keep the job in the cloud"

func (w *importScrapingJob) end(outcome Outcome, reason string) Step {
	w.outcome, w.reason = outcome, reason
	return stepDone
}

// endKept ends with what was imported, by this run or before it.
func (w *importScrapingJob) endKept(reason string) Step {
	if w.published.pass > 0 {
		return w.end(Kept, reason)
	}
	return w.end(Unchanged, reason)
}

// endNotFound leaves the outcome as it is when a signal has come in while this
// run deleted the job.
func (w *importScrapingJob) endNotFound(published *sink.PublishedImport) Step {
	switch {
	case w.outcome == Deleted:
		return stepDone
	case published != nil:
		return w.end(NotFound, fmt.Sprintf("Web Scraper Cloud does not know this job any more: the %d records published on %s stay",
			published.Records, published.PublishedAt.UTC().Format(time.RFC3339)))
	}
	return w.end(NotFound, "Web Scraper Cloud does not know this job")
}

// closes ends the import when the decision is to.
func (w *importScrapingJob) closes(decision string) bool {
	switch decision {
	case KeepSignal:
		w.endKept(keptByPerson)
	case AbandonSignal:
		w.end(Abandoned, "a person gave the import up")
	default:
		return false
	}
	return true
}

// result is that of the run, as far as it has come.
func (w *importScrapingJob) result() ImportScrapingJobResult {
	return ImportScrapingJobResult{
		ScrapingJobID: w.id,
		Records:       w.published.Records,
		Rejected:      w.published.Rejected,
		Skipped:       w.published.Skipped,
		Bytes:         w.published.Bytes,
		SHA256:        w.published.SHA256,
		Outcome:       w.outcome,
		Reason:        w.reason,
		Problem:       w.published.problem,
	}
}

// progress answers the query.
func (w *importScrapingJob) progress() (Progress, error) {
	p := Progress{
		ScrapingJobID:     w.id,
		SitemapName:       w.job.SitemapName,
		Status:            w.job.Status,
		Step:              w.step,
		StoredRecordCount: w.job.StoredRecordCount,
		Records:           w.published.Records,
		Rejected:          w.published.Rejected,
		Skipped:           w.published.Skipped,
		Problem:           w.published.problem,
		Signals:           w.signalsInStep(),
	}
	switch {
	case w.question.problem != nil:
		p.Attention, p.FailsAfter = w.question.text(), &w.question.deadline
	case w.step == StepHold:
		p.DeleteAfter = &w.published.heldUntil
	}
	return p, nil
}
