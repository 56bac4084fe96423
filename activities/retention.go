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
// pass none.
type RemoveUnfinishedImportsInput struct {
	// NeverDeleted is set if no job is deleted in Web Scraper Cloud.
	NeverDeleted bool `json:"never_deleted,omitempty"`
}

// removeOldImports removes published imports whose retention is over. It keeps an import
// if its workflow is open, or if its file should be archived but is not.
//
// A workflow that starts meanwhile either finds the import removed, at the latest right
// before it deletes the job in the cloud, or has started another import, which keeps the
// records here.
func (a *Activities) removeOldImports(ctx context.Context, neverDeleted bool, removed *Removed) error {
	retention := postgres.Retention{Records: a.RecordsRetention, KeepImports: a.KeepImports, NeverDeleted: neverDeleted}
	imports, err := a.Store.OldImports(ctx, retention)
	if err != nil {
		return err
	}
	heartbeat := func() { activity.RecordHeartbeat(ctx) }
	var refused []error // by a foreign key, for example: the other imports are removed anyway
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
			activity.GetMetricsHandler(ctx).WithTags(AccountTags(old.Account)).Counter(removedMetric).Inc(old.Records)
			activity.GetLogger(ctx).Info("Removed the records of an old import", "account", old.Account, "scrapingjob_id", old.ScrapingJobID,
				"sitemap", old.SitemapName, "import_id", old.ImportID, "records", old.Records)
		}
	}
	return errors.Join(refused...)
}

// RemovedReason says why the job of an import whose records were removed is left as it is,
// in a sentence without a period.
func RemovedReason(of sink.PublishedImport) string {
	return fmt.Sprintf("its %d records were removed on %s when their retention ended; starter reimport %d restores them",
		of.Records, of.RemovedAt.UTC().Format(time.RFC3339), of.ScrapingJobID)
}
