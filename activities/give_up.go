package activities

import (
	"context"

	"github.com/scrapehaul/scrapehaul/sink"
)

// GiveUpScrapingJob notes that a person has given up the import of a job, so
// that reconciliation leaves the job alone until it has run again.
func (a *Activities) GiveUpScrapingJob(ctx context.Context, job sink.ScrapingJob) error {
	return classify(ctx, a.Store.AbandonJob(ctx, job))
}
