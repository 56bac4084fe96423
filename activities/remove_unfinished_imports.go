package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
)

// RemoveUnfinishedImports gives up the imports of runs that have ended without
// publishing, removes the published imports and the archived files whose retention is
// over, and all records that no reader can see. It also tries again to make the views of sitemaps
// that publishing could not make, and has a workflow for what is undelivered, if that
// was terminated.
func (a *Activities) RemoveUnfinishedImports(ctx context.Context, in RemoveUnfinishedImportsInput) (Removed, error) {
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
		activity.GetLogger(ctx).Warn("A sitemap's views, or the counts of what its imports have changed, are not up to date", "problem", problem)
	}
	return abandoned, err
}
