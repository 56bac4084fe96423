package workflows

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// BackfillMappedTableName is the registered name of [BackfillMappedTable].
const BackfillMappedTableName = "BackfillMappedTable"

// BackfillMappedTable fills the table that a sitemap's mapping is for from the records of
// the published imports.
func BackfillMappedTable(ctx workflow.Context, sitemapName, account string) (result activities.Backfill, err error) {
	// Its progress is as old as the SDK keeps heartbeats back, most of the timeout.
	ctx = workflow.WithHeartbeatTimeout(longStep(ctx, "map published records again"), 15*time.Second)
	ctx = workflow.WithRetryPolicy(workflow.WithWaitForCancellation(ctx, true), *attempts(100))
	err = workflow.ExecuteActivity(ctx, a.BackfillMappedTable, account, sitemapName).Get(ctx, &result)
	return result, err
}

// StartBackfill starts the backfill, or returns the one of the sitemap that is running.
func StartBackfill(ctx context.Context, c client.Client, taskQueue, account, sitemapName string) (client.WorkflowRun, error) {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: activities.SitemapWorkflowID("scrapehaul-backfill-", account, sitemapName), TaskQueue: taskQueue, Priority: turns(account),
		StaticSummary: truncate("backfill the mapped table of "+sitemapName, maxSummary),
	}, BackfillMappedTableName, sitemapName, account)
	if err != nil {
		return nil, fmt.Errorf("starting the backfill of sitemap %q: %w", sitemapName, err)
	}
	return run, nil
}
