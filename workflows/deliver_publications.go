package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// DeliverPublications delivers what is published of a sitemap to the webhook, one after
// the other, until nothing is left. [activities.Activities.SetAnnounced] starts it, or
// signals to it.
func DeliverPublications(ctx workflow.Context, sitemapName string) error {
	signals := workflow.GetSignalChannel(ctx, activities.PublicationSignal)
	looked := func() (again bool) {
		for signals.ReceiveAsync(nil) {
			again = true
		}
		return again
	}
	for {
		looked() // what they tell of is found now
		if err := workflow.ExecuteActivity(delivery(ctx), a.DeliverPublications, sitemapName).Get(ctx, nil); err != nil {
			return err
		}
		if !looked() {
			return nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, activities.DeliverPublicationsName, sitemapName)
		}
	}
}

// delivery is retried for as long as it fails: what is not taken says itself when to send
// it again, and for how long.
func delivery(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 12 * time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		Summary:             "deliver what is published, in its order",
		RetryPolicy:         &temporal.RetryPolicy{MaximumInterval: time.Minute},
	})
}
