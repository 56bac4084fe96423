package activities

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"
)

// RefuseScrapingJobInput names a job of one account whose ID belongs to another account's
// job.
type RefuseScrapingJobInput struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account"`
	Owner         string `json:"owner"`
}

// RefuseScrapingJob counts the refused job and records it for starter doctor.
func (a *Activities) RefuseScrapingJob(ctx context.Context, in RefuseScrapingJobInput) error {
	return classify(ctx, a.refuse(ctx, in.ScrapingJobID, in.Account, in.Owner))
}

func (a *Activities) refuse(ctx context.Context, id int64, account, owner string) error {
	if err := a.Store.Refuse(ctx, id, account); err != nil {
		return err
	}
	activity.GetLogger(ctx).Warn("Scraping job refused", "account", account, "reason", RefusedReason(id, account, owner))
	activity.GetMetricsHandler(ctx).WithTags(AccountTags(account)).Counter(refusedMetric).Inc(1)
	return nil
}

// RefusedReason says why a job is refused, in a sentence without a period.
func RefusedReason(id int64, account, owner string) string {
	return fmt.Sprintf("scraping job %d belongs to account %q here; the job of account %q with the same ID is not imported", id, owner, account)
}
