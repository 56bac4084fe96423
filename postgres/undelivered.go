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

// Undelivered is a publication not yet delivered to the outgoing webhook.
type Undelivered struct {
	sink.Publication
	AddedAt time.Time
	// Waits is set while an import of the sitemap, published earlier but within the last
	// hour, is unannounced: that one is delivered first.
	Waits bool
}

const insertUndelivered = `
INSERT INTO scrapehaul.undelivered_publications (import_id, sitemap_name, event, published_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (import_id) DO NOTHING`

// AddUndelivered queues a publication for delivery, once, however often it is called
// before the delivery.
func (s *Store) AddUndelivered(ctx context.Context, publication sink.Publication) error {
	event, err := json.Marshal(publication)
	if err == nil {
		_, err = s.exec(ctx, insertUndelivered, publication.ImportID, publication.SitemapName, string(event), publication.PublishedAt)
	}
	return doing(err, "queueing the publication of import %d for delivery", publication.ImportID)
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

// NextUndelivered returns the sitemap's next publication to deliver, in the order of
// publishing, nil if there is none.
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
		return nil, fmt.Errorf("reading the next undelivered publication of sitemap %q: %w", sitemapName, err)
	}
	return &next, nil
}

const deleteUndelivered = `DELETE FROM scrapehaul.undelivered_publications WHERE import_id = $1`

// SetDelivered records that an import's publication is delivered.
func (s *Store) SetDelivered(ctx context.Context, importID int64) error {
	_, err := s.exec(ctx, deleteUndelivered, importID)
	return doing(err, "recording that the publication of import %d is delivered", importID)
}

// With another sink, the import's ID can be that of another import here.
const setUndeliverable = `
WITH failed AS (
    UPDATE scrapehaul.undelivered_publications SET problem = $2, failed_at = coalesce(failed_at, now())
    WHERE import_id = $1
    RETURNING import_id, (event ->> 'scrapingjob_id')::bigint AS scrapingjob_id
)
UPDATE scrapehaul.imports AS import SET problem = ` + addProblem + `
FROM failed WHERE import.import_id = failed.import_id AND import.scrapingjob_id = failed.scrapingjob_id`

// SetUndeliverable ends the delivery of an import's publication without success. problem
// says why in one sentence, which is added to the import's problem.
func (s *Store) SetUndeliverable(ctx context.Context, importID int64, problem string) error {
	_, err := s.exec(ctx, setUndeliverable, importID, problem)
	return doing(err, "recording that the publication of import %d is undeliverable", importID)
}
