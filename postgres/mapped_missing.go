package postgres

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

// A row is missing, and so inactive, if a later complete job of its sitemap does not have it.

// A sitemap belongs to an account and is found by ID or name: a renamed one keeps its ID.
const (
	isOfSitemap   = `job.account = $4 AND (job.sitemap_id = nullif($1::bigint, 0) OR job.sitemap_name = $2)`
	jobsOfSitemap = `SELECT job.scrapingjob_id FROM scrapehaul.scraping_jobs AS job WHERE ` + isOfSitemap
)

// The sitemap's last complete job in table $3, 0 for none. A job whose records were removed
// since still counts, because its rows stay.
const selectNewestComplete = `
SELECT coalesce(max(job.scrapingjob_id), 0)
FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = coalesce(job.published_import_id, job.removed_import_id)
WHERE ` + isOfSitemap + ` AND job.status = 'finished' AND ` + intoTable + `
  AND import.rejected = 0 AND import.unmapped = 0 AND import.records + import.skipped >= job.stored_record_count`

// sitemap identifies the sitemap of a job.
type sitemap struct {
	ID      int64  `db:"sitemap_id"`
	Name    string `db:"sitemap_name"`
	Account string `db:"account"`
}

const selectActivity = `
SELECT (` + selectNewestComplete + `) AS newest, count(*) AS active FROM %[1]s WHERE %[2]s AND scrapingjob_id IN (` + jobsOfSitemap + `)`

// activity returns the sitemap's last complete job and its number of active rows, or zeros if
// the mapping deactivates nothing.
func (m *mappedRows) activity(ctx context.Context, tx transaction, of sitemap) (found struct{ Newest, Active int64 }, err error) {
	if m.DeactivateMissing != nil {
		err = tx.GetContext(ctx, &found, fmt.Sprintf(selectActivity, m.table(), m.active()), of.ID, of.Name, m.Table.String(), of.Account)
	}
	return found, err
}

// active is the SQL expression for whether a row is active: the column, or false.
func (m *mappedRows) active() string {
	if m.DeactivateMissing == nil {
		return "false"
	}
	return pq.QuoteIdentifier(m.DeactivateMissing.Column)
}

const setActive = `
WITH changed AS (
    UPDATE %[1]s AS present SET %[2]s = NOT present.%[2]s
    WHERE present.%[2]s <> (present.scrapingjob_id >= (` + selectNewestComplete + `)) AND present.scrapingjob_id IN (` + jobsOfSitemap + `)
    RETURNING present.%[2]s AS active
)
SELECT count(*) FROM changed WHERE NOT active`

// deactivate deactivates the missing rows of the sitemaps, reactivates those that are no
// longer missing, and returns how many it deactivated.
func (m *mappedRows) deactivate(ctx context.Context, tx transaction, sitemaps []sitemap) (missing int64, err error) {
	statement := fmt.Sprintf(setActive, m.table(), m.active())
	for _, of := range sitemaps {
		var more int64
		if err := tx.GetContext(ctx, &more, statement, of.ID, of.Name, m.Table.String(), of.Account); err != nil {
			return 0, err
		}
		missing += more
	}
	return missing, nil
}

func (m *mappedRows) brake(missing, active int64, accepted []sink.Question) error {
	percent := int64(m.DeactivateMissing.BrakePercent)
	asked := sink.Question{Kind: sink.ManyRowsMissing, Worse: missing, Reason: fmt.Sprintf(
		"the job would deactivate %s of the %s active rows of its sitemap in table %s, more than %d %% (brake_percent)",
		humanize.Comma(missing), humanize.Comma(active), m.Table, percent)}
	if 100*missing > percent*active && !asked.AcceptedIn(accepted) {
		return &sink.WithheldError{Question: asked}
	}
	return nil
}

// notDeactivated returns a sentence for a finished but incomplete job, whose missing rows stay
// active.
func (m *mappedRows) notDeactivated(job sink.ScrapingJob, checkpoint sink.Checkpoint) string {
	if job.Status != "finished" || checkpoint.Bad() == 0 && checkpoint.All() >= job.StoredRecordCount {
		return ""
	}
	return fmt.Sprintf("rows of table %s missing from job %d were not deactivated: of its %d records, %d were rejected, %d do not fit the table and %d are not in the file",
		m.Table, job.ScrapingJobID, job.StoredRecordCount, checkpoint.Rejected, checkpoint.Unmapped, max(0, job.StoredRecordCount-checkpoint.All()))
}
