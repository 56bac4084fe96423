package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Undelivered is a publication not yet delivered to the outgoing webhook.
type Undelivered struct {
	sink.Publication
	AddedAt time.Time
	// Waits is set while an earlier import of the sitemap, published within the last hour, is
	// unannounced: that one is delivered first.
	Waits bool
}

const insertUndelivered = `
INSERT INTO scrapehaul.undelivered_publications (import_id, account, sitemap_name, event, published_at)
SELECT $1::bigint, $5, $2, $3::jsonb, $4::timestamptz
WHERE NOT EXISTS (SELECT FROM scrapehaul.imports WHERE import_id = $1 AND published_at = $4 AND announced_at IS NOT NULL)
ON CONFLICT (import_id) DO NOTHING`

// AddUndelivered queues a publication for delivery. Repeated calls queue it once. The publication
// of another sink's import can be queued again after its delivery.
func (s *Store) AddUndelivered(ctx context.Context, publication sink.Publication) error {
	event, err := json.Marshal(publication)
	if err == nil {
		_, err = s.exec(ctx, insertUndelivered, publication.ImportID, publication.SitemapName, string(event), publication.PublishedAt,
			cmp.Or(publication.Account, sink.DefaultAccount))
	}
	return doing(err, "queueing the publication of import %d for delivery", publication.ImportID)
}

const nextUndelivered = `
SELECT next.event, next.added_at, EXISTS (
    SELECT FROM scrapehaul.imports AS import
    JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
    WHERE job.account = next.account AND job.sitemap_name = next.sitemap_name AND import.announce AND import.announced_at IS NULL
      AND import.published_at < next.published_at AND import.published_at > now() - interval '1 hour'
) AS waits
FROM scrapehaul.undelivered_publications AS next
WHERE next.account = $1 AND next.sitemap_name = $2 AND next.failed_at IS NULL
ORDER BY next.published_at, next.import_id LIMIT 1`

// NextUndelivered returns the sitemap's next publication to deliver, in the order of publishing,
// or nil if there is none.
func (s *Store) NextUndelivered(ctx context.Context, account, sitemapName string) (*Undelivered, error) {
	var next Undelivered
	var event []byte
	err := s.db.QueryRowxContext(ctx, nextUndelivered, account, sitemapName).Scan(&event, &next.AddedAt, &next.Waits)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(event, &next.Publication)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the next undelivered publication of sitemap %q: %w", sitemapName, err)
	}
	return &next, nil
}

// With another sink, the ID can be that of another import here, published at another time.
const setDelivered = `
WITH delivered AS (
    DELETE FROM scrapehaul.undelivered_publications WHERE import_id = $1 RETURNING import_id, published_at
)
UPDATE scrapehaul.imports AS import SET announced_at = now()
FROM delivered WHERE import.import_id = delivered.import_id AND import.published_at = delivered.published_at AND announced_at IS NULL`

// SetDelivered records that an import's publication is delivered, and so announced.
func (s *Store) SetDelivered(ctx context.Context, importID int64) error {
	_, err := s.exec(ctx, setDelivered, importID)
	return doing(err, "recording that the publication of import %d is delivered", importID)
}

// With another sink, the ID can be that of another job's import here.
const setUndeliverable = `
WITH failed AS (
    UPDATE scrapehaul.undelivered_publications SET problem = $2, failed_at = coalesce(failed_at, now())
    WHERE import_id = $1
    RETURNING import_id, (event ->> 'scrapingjob_id')::bigint AS scrapingjob_id
)
UPDATE scrapehaul.imports AS import SET problem = ` + addProblem + `
FROM failed WHERE import.import_id = failed.import_id AND import.scrapingjob_id = failed.scrapingjob_id`

// SetUndeliverable records that delivering an import's publication has failed permanently.
// problem says why in one sentence, which is added to the import's problem.
func (s *Store) SetUndeliverable(ctx context.Context, importID int64, problem string) error {
	_, err := s.exec(ctx, setUndeliverable, importID, problem)
	return doing(err, "recording that the publication of import %d is undeliverable", importID)
}

const selectUndeliveredSitemaps = `
WITH old AS (
    DELETE FROM scrapehaul.undelivered_publications WHERE failed_at < now() - interval '30 days'
)
SELECT DISTINCT account, sitemap_name FROM scrapehaul.undelivered_publications WHERE failed_at IS NULL ORDER BY account, sitemap_name`

// Sitemap identifies a sitemap of an account.
type Sitemap struct {
	Account string
	Name    string `db:"sitemap_name"`
}

// SitemapsWithUndelivered returns the sitemaps with publications to deliver. It removes
// publications whose delivery failed more than 30 days ago.
func (s *Store) SitemapsWithUndelivered(ctx context.Context) (sitemaps []Sitemap, err error) {
	err = s.db.SelectContext(ctx, &sitemaps, selectUndeliveredSitemaps)
	return sitemaps, doing(err, "listing the sitemaps with undelivered publications")
}
