package activities

import (
	"context"

	"github.com/scrapehaul/scrapehaul/sink"
)

// GiveUpScrapingJobInput names the job as a person has given it up.
type GiveUpScrapingJobInput struct {
	Job sink.ScrapingJob `json:"job"`
}

// GiveUpScrapingJob notes that a person has given up the import of a job, so
// that reconciliation leaves the job alone until it has run again.
func (a *Activities) GiveUpScrapingJob(ctx context.Context, in GiveUpScrapingJobInput) error {
	if err := a.Store.GiveUp(ctx, in.Job); err != nil {
		return classify(ctx, err)
	}
	return nil
}
