package activities

import (
	"cmp"
	"context"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Backfill is the progress of a mapped table's backfill: its heartbeat and its result.
type Backfill = postgres.Backfill

// BackfillMappedTable creates the rows of published records that the sitemap's mapped
// table does not have by the current mapping; see [postgres.Store.BackfillMappedTable].
// A retry continues with the remaining imports.
func (a *Activities) BackfillMappedTable(ctx context.Context, account, sitemapName string) (at Backfill, err error) {
	defer a.Spool.noteAttempt(ctx)()
	err = untilWorkerStops(ctx, func(until context.Context) (err error) {
		at, err = a.Store.BackfillMappedTable(until, cmp.Or(account, sink.DefaultAccount), sitemapName, func(at Backfill) { activity.RecordHeartbeat(ctx, at) })
		return err
	})
	return at, classify(ctx, err)
}
