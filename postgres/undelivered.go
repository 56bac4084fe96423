package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Undelivered is a publication that the outgoing webhook has not got yet.
type Undelivered struct {
	sink.Publication
	AddedAt time.Time
	// Waits is set while an import of the sitemap that was published earlier, but no
	// longer than an hour ago, has not been announced: its publication is delivered first.
	Waits bool
}

const insertUndelivered = `
INSERT INTO scrapehaul.undelivered_publications (import_id, sitemap_name, event, published_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (import_id) DO NOTHING`

// AddUndelivered has a publication delivered. It is added once, however often that is
// asked for before it is delivered.
func (s *Store) AddUndelivered(ctx context.Context, publication sink.Publication) error {
	event, err := json.Marshal(publication)
	if err == nil {
		_, err = s.exec(ctx, insertUndelivered, publication.ImportID, publication.SitemapName, string(event), publication.PublishedAt)
	}
	return doing(err, "noting the publication of import %d for its delivery", publication.ImportID)
}

const nextUndelivered = `
SELECT next.event, next.added_at, EXISTS (
    SELECT FROM scrapehaul.imports AS import
    JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
    WHERE job.sitemap_name = next.sitemap_name AND import.announce AND import.announced_at IS NULL
      AND import.published_at < next.published_at AND import.published_at > now() - interval '1 hour'
) AS waits
FROM scrapehaul.undelivered_publications AS next
WHERE next.sitemap_name = $1 AND next.failed_at IS NULL
ORDER BY next.published_at, next.import_id LIMIT 1`

// NextUndelivered returns the publication of a sitemap that is to be delivered next, in
// the order of publishing, nil when there is none.
func (s *Store) NextUndelivered(ctx context.Context, sitemapName string) (*Undelivered, error) {
	var next Undelivered
	var event []byte
	err := s.db.QueryRowxContext(ctx, nextUndelivered, sitemapName).Scan(&event, &next.AddedAt, &next.Waits)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(event, &next.Publication)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is to be delivered of sitemap %q: %w", sitemapName, err)
	}
	return &next, nil
}

const deleteUndelivered = `DELETE FROM scrapehaul.undelivered_publications WHERE import_id = $1`

// SetDelivered notes that an import's publication is delivered.
func (s *Store) SetDelivered(ctx context.Context, importID int64) error {
	_, err := s.exec(ctx, deleteUndelivered, importID)
	return doing(err, "noting that the publication of import %d is delivered", importID)
}

// In another sink the import has a number that is another import's here.
const setUndeliverable = `
WITH failed AS (
    UPDATE scrapehaul.undelivered_publications SET problem = $2, failed_at = coalesce(failed_at, now())
    WHERE import_id = $1
    RETURNING import_id, (event ->> 'scrapingjob_id')::bigint AS scrapingjob_id
)
UPDATE scrapehaul.imports AS import SET problem = ` + addProblem + `
FROM failed WHERE import.import_id = failed.import_id AND import.scrapingjob_id = failed.scrapingjob_id`

// SetUndeliverable notes that the delivery of an import's publication has ended without
// success, and why in one sentence, which is added to the import's problem.
func (s *Store) SetUndeliverable(ctx context.Context, importID int64, problem string) error {
	_, err := s.exec(ctx, setUndeliverable, importID, problem)
	return doing(err, "noting that the publication of import %d is not delivered", importID)
}
