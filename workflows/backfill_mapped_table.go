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

// BackfillMappedTable fills a sitemap's mapped table from the records of its published
// imports.
func BackfillMappedTable(ctx workflow.Context, sitemapName, account string) (result activities.Backfill, err error) {
	// A short timeout: the SDK holds heartbeats back for most of it, and progress is as old.
	ctx = workflow.WithHeartbeatTimeout(longStep(ctx, "map published records again"), 15*time.Second)
	ctx = workflow.WithRetryPolicy(workflow.WithWaitForCancellation(ctx, true), *attempts(100))
	err = workflow.ExecuteActivity(ctx, a.BackfillMappedTable, account, sitemapName).Get(ctx, &result)
	return result, err
}

// StartBackfill starts the sitemap's backfill, or returns the one already running.
func StartBackfill(ctx context.Context, c client.Client, taskQueue, account, sitemapName string) (client.WorkflowRun, error) {
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: activities.SitemapWorkflowID("scrapehaul-backfill-", account, sitemapName), TaskQueue: taskQueue, Priority: activities.Turns(account),
		StaticSummary: truncate("backfill the mapped table of "+sitemapName, maxSummary),
	}, BackfillMappedTableName, sitemapName, account)
	if err != nil {
		return nil, fmt.Errorf("starting the backfill of sitemap %q: %w", sitemapName, err)
	}
	return run, nil
}
