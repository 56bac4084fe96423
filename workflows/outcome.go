package workflows

import (
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

func (w *importScrapingJob) setPublished(published sink.PublishedImport) {
	w.importID = published.ImportID
	w.progress.Records, w.progress.Rejected, w.progress.Skipped = published.Records, published.Rejected, published.Skipped
	w.result.Records, w.result.Rejected, w.result.Skipped = published.Records, published.Rejected, published.Skipped
	w.result.Bytes, w.result.SHA256 = published.Bytes, published.SHA256
}

func (w *importScrapingJob) end(outcome Outcome, reason string) {
	w.result.Outcome, w.result.Reason = outcome, reason
}

// endKept ends with what was imported, by this run or before it.
func (w *importScrapingJob) endKept(reason string) {
	if w.imported {
		w.end(Kept, reason)
	} else {
		w.end(Unchanged, reason)
	}
}

// endNotFound leaves the outcome as it is when a signal has come in while this
// run deleted the job.
func (w *importScrapingJob) endNotFound(published *sink.PublishedImport) {
	switch {
	case w.result.Outcome == Deleted:
	case published != nil:
		w.end(NotFound, fmt.Sprintf("Web Scraper Cloud does not know this job any more: the %d records published on %s stay",
			published.Records, published.PublishedAt.UTC().Format(time.RFC3339)))
	default:
		w.end(NotFound, "Web Scraper Cloud does not know this job")
	}
}
