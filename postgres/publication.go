package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

// publicationOf are the columns of a publishedRow.
const publicationOf = `
       job.scrapingjob_id, job.account, job.sitemap_id, job.sitemap_name, coalesce(job.custom_id, '') AS custom_id, job.status,
       import.import_id, coalesce(import.replaced_import_id, 0) AS replaced_import_id,
       CASE WHEN import.restored THEN 'restore' WHEN import.replaced_import_id IS NULL THEN 'first' ELSE 'reimport' END AS kind,
       import.records, import.rejected, import.skipped, import.unmapped, import.cut, import.columns, import.published_at`

type publishedRow struct {
	sink.Publication
	AllColumns pq.StringArray `db:"columns"`
}

// maxColumnNames limits an event's column names, in bytes.
const maxColumnNames = 16 << 10

func (r publishedRow) event() sink.Publication {
	bytes := 0
	for _, column := range r.AllColumns {
		if bytes += len(column); bytes > maxColumnNames {
			break
		}
		r.Columns = append(r.Columns, column)
	}
	r.PublishedAt = r.PublishedAt.UTC() // from the session's time zone
	return r.Publication
}

const selectPublication = `
SELECT` + publicationOf + `
FROM scrapehaul.imports AS import
JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)
WHERE import.import_id = $1 AND import.state IN ('published', 'replaced', 'removed')`

// Publication returns the event of an import that is or was published, with the job's values
// from its currently published import; see [sink.RecordSink].
func (s *Store) Publication(ctx context.Context, importID int64) (*sink.Publication, error) {
	var row publishedRow
	err := s.db.GetContext(ctx, &row, selectPublication, importID)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("the import was never published")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the publication of import %d: %w", importID, err)
	}
	event := row.event()
	return &event, nil
}

// maxNotice is PostgreSQL's limit for the payload of NOTIFY, in bytes.
const maxNotice = 7999

const notify = `SELECT pg_notify('scrapehaul_published', $1)`

// notice returns the event as JSON, omitting fields to fit maxNotice.
func notice(of sink.Publication) (text []byte, err error) {
	for _, leaveOut := range []func(){func() {}, func() { of.Columns = nil }, func() { of.CustomID = "" }, func() { of.SitemapName = "" }} {
		leaveOut()
		if text, err = json.Marshal(of); err != nil || len(text) <= maxNotice {
			break
		}
	}
	return text, err
}

// addProblem appends $2 to an import's problem, unless it is already part of it.
const addProblem = `CASE WHEN position($2::text IN coalesce(import.problem, '')) > 0 THEN import.problem ELSE concat_ws('; ', import.problem, $2) END`

const setAnnounced = `
UPDATE scrapehaul.imports AS import SET announced_at = coalesce(announced_at, now()), problem = ` + addProblem + `
WHERE import_id = $1`

// SetAnnounced records that an import is announced; see [sink.RecordSink].
func (s *Store) SetAnnounced(ctx context.Context, importID int64, problem string) error {
	_, err := s.exec(ctx, setAnnounced, importID, problem)
	return doing(err, "recording that import %d is announced", importID)
}
