package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// RemoveUnfinishedImportsInput is the input of RemoveUnfinishedImports. Earlier builds
// give none.
type RemoveUnfinishedImportsInput struct {
	// NeverDeleted is set when no job is deleted in Web Scraper Cloud.
	NeverDeleted bool `json:"never_deleted,omitempty"`
}

// removeOldImports removes the published imports whose retention is over. One whose
// workflow is open stays, and so does one whose file ought to be archived and is not.
//
// A workflow that starts meanwhile finds the import removed, at the latest when it is
// about to delete the job in the cloud, or has begun another import, which keeps it here.
func (a *Activities) removeOldImports(ctx context.Context, neverDeleted bool, removed *Removed) error {
	retention := postgres.Retention{Records: a.RecordsRetention, KeepImports: a.KeepImports, NeverDeleted: neverDeleted}
	imports, err := a.Store.OldImports(ctx, retention)
	if err != nil {
		return err
	}
	heartbeat := func() { activity.RecordHeartbeat(ctx) }
	var refused []error // such as by a foreign key: it keeps no other from being removed
	for _, old := range imports {
		heartbeat()
		stays, err := isOpen(ctx, old.ScrapingJobID, "")
		if err == nil && !stays {
			stays, err = a.unarchived(ctx, sink.ScrapingJob{ScrapingJobID: old.ScrapingJobID, Account: old.Account})
		}
		if err != nil {
			return err
		}
		if stays {
			continue
		}
		gone, err := a.Store.RemoveImport(ctx, old, heartbeat)
		switch {
		case ctx.Err() == nil && (pq.As(err) != nil || is[*postgres.MappedTableError](err)):
			refused = append(refused, err)
		case err != nil:
			return errors.Join(append(refused, err)...)
		}
		if gone {
			removed.OldImports++
			removed.OldRecords += old.Records
			activity.GetMetricsHandler(ctx).WithTags(accountTags(old.Account)).Counter(removedMetric).Inc(old.Records)
			activity.GetLogger(ctx).Info("The records of an old import are removed", "account", old.Account, "scrapingjob_id", old.ScrapingJobID,
				"sitemap", old.SitemapName, "import_id", old.ImportID, "records", old.Records)
		}
	}
	return errors.Join(refused...)
}

// RemovedReason says of an import whose records were removed why its job stays as it is.
func RemovedReason(of sink.PublishedImport) string {
	return fmt.Sprintf("its %d records were removed on %s, their retention being over: starter reimport %d brings them back",
		of.Records, of.RemovedAt.UTC().Format(time.RFC3339), of.ScrapingJobID)
}
