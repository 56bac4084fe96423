package postgres

import (
	"context"
	"time"
)

const refuse = `
WITH old AS (
    DELETE FROM scrapehaul.refused_jobs WHERE refused_at < now() - interval '30 days'
)
INSERT INTO scrapehaul.refused_jobs (scrapingjob_id, account) VALUES ($1, $2)
ON CONFLICT (scrapingjob_id, account) DO UPDATE SET refused_at = now()`

// Refuse records that an account's scraping job was not imported because another account has a
// published job with the same ID. It removes entries older than 30 days.
func (s *Store) Refuse(ctx context.Context, scrapingJobID int64, account string) error {
	_, err := s.exec(ctx, refuse, scrapingJobID, account)
	return doing(err, "recording that scraping job %d of account %q is refused", scrapingJobID, account)
}

// RefusedJob is a scraping job that was not imported, see [Store.Refuse].
type RefusedJob struct {
	ScrapingJobID int64  `db:"scrapingjob_id"`
	Account       string // of the refused job
	Owner         string // account of the published job with the same ID
	// RefusedAt is when it was last refused.
	RefusedAt time.Time `db:"refused_at"`
}

const selectRefused = `
SELECT refused.scrapingjob_id, refused.account, job.account AS owner, refused.refused_at
FROM scrapehaul.refused_jobs AS refused
JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
WHERE refused.refused_at > now() - interval '1 day' AND refused.account <> job.account
ORDER BY refused.refused_at DESC, refused.scrapingjob_id, refused.account`

// Refused returns the jobs refused in the last 24 hours, latest first.
func (s *Store) Refused(ctx context.Context) (jobs []RefusedJob, err error) {
	err = s.db.SelectContext(ctx, &jobs, selectRefused)
	return jobs, doing(err, "reading which scraping jobs were refused")
}
