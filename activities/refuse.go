package activities

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"
)

// RefuseScrapingJobInput names a job that one account has brought although it is
// another's.
type RefuseScrapingJobInput struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account"`
	Owner         string `json:"owner"`
}

// RefuseScrapingJob keeps for starter doctor that the job was refused, and counts it.
func (a *Activities) RefuseScrapingJob(ctx context.Context, in RefuseScrapingJobInput) error {
	return classify(ctx, a.refuse(ctx, in.ScrapingJobID, in.Account, in.Owner))
}

func (a *Activities) refuse(ctx context.Context, id int64, account, owner string) error {
	if err := a.Store.Refuse(ctx, id, account); err != nil {
		return err
	}
	activity.GetLogger(ctx).Warn("A scraping job was refused", "account", account, "reason", RefusedReason(id, account, owner))
	activity.GetMetricsHandler(ctx).WithTags(accountTags(account)).Counter(refusedMetric).Inc(1)
	return nil
}

// RefusedReason says why a job is refused, in a sentence without a full stop.
func RefusedReason(id int64, account, owner string) string {
	return fmt.Sprintf("scraping job %d is account %q's here: that of account %q, which has the same ID, is not imported", id, owner, account)
}
