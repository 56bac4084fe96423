package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
)

// RemoveUnfinishedImports abandons imports of runs that ended without publishing. It
// removes published imports and archived files whose retention is over, and all records
// that no reader can see. It also retries the sitemap views that publishing failed to
// update, and restarts the delivery of undelivered publications if its workflow was
// terminated.
func (a *Activities) RemoveUnfinishedImports(ctx context.Context, in RemoveUnfinishedImportsInput) (Removed, error) {
	defer a.Spool.noteAttempt(ctx)()
	var removed Removed
	var err error
	deliveries := a.startDeliveries(ctx)
	old := a.removeOldImports(ctx, in.NeverDeleted, &removed)
	if removed.Imports, err = a.removeUnfinishedImports(ctx); err == nil {
		removed.ArchivedFiles, err = a.removeOldArchivedFiles(ctx, func() { activity.RecordHeartbeat(ctx) })
	}
	return removed, classify(ctx, errors.Join(err, old, deliveries))
}

func (a *Activities) removeUnfinishedImports(ctx context.Context) (abandoned int, err error) {
	unfinished, err := a.Sink.UnfinishedImports(ctx)
	if err != nil {
		return 0, err
	}
	for _, each := range unfinished {
		activity.RecordHeartbeat(ctx)
		open, err := isOpen(ctx, each.ScrapingJobID, each.WorkflowRunID)
		if err != nil {
			return abandoned, err
		}
		if open {
			continue
		}
		if err := a.Sink.AbandonImport(ctx, each.ImportID); err != nil {
			return abandoned, err
		}
		abandoned++
	}
	jobs, err := a.Sink.JobsWithUnneededRecords(ctx)
	if err != nil {
		return abandoned, err
	}
	for _, id := range jobs {
		progress := func(records int64) { activity.RecordHeartbeat(ctx, Progress{Removed: records}) }
		if err := a.Sink.RemoveUnneeded(ctx, id, progress); err != nil {
			return abandoned, err
		}
	}
	problems, err := a.Store.RefreshSitemapViews(ctx, func() { activity.RecordHeartbeat(ctx) })
	for _, problem := range problems {
		activity.GetLogger(ctx).Warn("A sitemap's views or change counts are out of date", "problem", problem)
	}
	return abandoned, err
}
