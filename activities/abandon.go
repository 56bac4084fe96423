package activities

import (
	"context"

	"github.com/scrapehaul/scrapehaul/sink"
)

// AbandonScrapingJobName is the registered name of [Activities.AbandonScrapingJob].
// Recorded histories contain it.
const AbandonScrapingJobName = "GiveUpScrapingJob"

// AbandonScrapingJob records that an operator abandoned the import of a job, so that
// reconciliation skips the job until it has run again.
func (a *Activities) AbandonScrapingJob(ctx context.Context, job sink.ScrapingJob) error {
	return classify(ctx, a.Store.AbandonJob(ctx, job))
}
