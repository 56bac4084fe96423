package activities

import (
	"cmp"
	"context"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Backfill is how far the backfill of a mapped table has come: the heartbeat, and the
// result.
type Backfill = postgres.Backfill

// BackfillMappedTable makes rows of the published records that the table of the sitemap's
// mapping does not show by the present mapping; see [postgres.Store.BackfillMappedTable].
// A retry goes on with the imports that are left.
func (a *Activities) BackfillMappedTable(ctx context.Context, account, sitemapName string) (at Backfill, err error) {
	err = untilWorkerStops(ctx, func(until context.Context) (err error) {
		at, err = a.Store.BackfillMappedTable(until, cmp.Or(account, sink.DefaultAccount), sitemapName, func(at Backfill) { activity.RecordHeartbeat(ctx, at) })
		return err
	})
	return at, classify(ctx, err)
}
