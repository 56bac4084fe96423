package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// DeliverPublications delivers a sitemap's publications to the webhook, in order, until
// none is left. [activities.Activities.SetAnnounced] starts or signals it.
func DeliverPublications(ctx workflow.Context, sitemapName, account string) error {
	// The activity sets the delay of each retry, and drops publications itself.
	delivering := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 12 * time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		Summary:             "deliver publications in order",
		RetryPolicy:         &temporal.RetryPolicy{MaximumInterval: time.Minute},
	})
	signals := workflow.GetSignalChannel(ctx, activities.PublicationSignal)
	signaled := func() (some bool) {
		for signals.ReceiveAsync(nil) {
			some = true
		}
		return some
	}
	for {
		signaled() // the activity finds what these announce
		if err := workflow.ExecuteActivity(delivering, a.DeliverPublications, sitemapName, account).Get(ctx, nil); err != nil {
			return err
		}
		if !signaled() {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, activities.DeliverPublicationsName, sitemapName, account)
		}
	}
}
