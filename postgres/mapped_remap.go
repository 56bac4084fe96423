package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// removeOld removes the rows that an earlier import of the job has left. In modes with one
// row per key, a row whose key this import lacks goes to another published import that has
// the key, if mappingOf returns its mapping; got lists the sitemaps of those. The others are
// deleted; gone counts the active ones among these.
func (m *mappedRows) removeOld(ctx context.Context, tx transaction, mappingOf func(otherImport) *mapping.Mapping, job int64) (gone int64, got []sitemap, err error) {
	if m.Mode == mapping.ReplaceJob {
		_, err := tx.ExecContext(ctx, "DELETE FROM "+m.table()+" WHERE scrapingjob_id = $1", job)
		return 0, nil, err
	}
	var again bool
	err = tx.GetContext(ctx, &again, "SELECT EXISTS (SELECT FROM "+m.table()+" WHERE scrapingjob_id = $1)", job)
	if err != nil || !again {
		return 0, nil, err
	}
	// After a change of the key, older rows have no value in it and belong to no import.
	_, err = tx.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE scrapingjob_id = $1 AND NOT (%s) IS NOT NULL", m.table(), nameList("", m.Key)), job)
	if err != nil {
		return 0, nil, err
	}
	if _, err := tx.ExecContext(ctx, "ANALYZE "+m.holding()); err != nil {
		return 0, nil, err
	}
	result, err := tx.ExecContext(ctx, fmt.Sprintf(
		"CREATE UNLOGGED TABLE %s AS SELECT %s FROM %s AS present WHERE scrapingjob_id = %d AND NOT EXISTS (SELECT FROM %s AS held WHERE %s)",
		m.lost(), nameList("present.", m.Key), m.table(), job, m.holding(), m.sameKey("held", "present")))
	if err != nil {
		return 0, nil, err
	}
	lost, err := result.RowsAffected()
	if err == nil && lost > 0 {
		if got, err = m.reassignLost(ctx, tx, mappingOf, job, lost); err == nil {
			err = tx.GetContext(ctx, &gone, fmt.Sprintf(deleteLost, m.table(), m.lost(), m.sameKey("present", "lost"), m.active()), job)
		}
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "DROP TABLE "+m.lost())
	}
	return gone, got, err
}

const deleteLost = `
WITH deleted AS (
    DELETE FROM %[1]s AS present USING %[2]s AS lost WHERE present.scrapingjob_id = $1 AND %[3]s RETURNING %[4]s AS active
)
SELECT count(*) FROM deleted WHERE active`

// lost is the table of keys that the import no longer has, others the table of another
// import's rows.
func (m *mappedRows) lost() string   { return m.holding() + "_lost" }
func (m *mappedRows) others() string { return m.holding() + "_others" }

func (m *mappedRows) sameKey(a, b string) string {
	same := make([]string, len(m.Key))
	for i, column := range m.Key {
		same[i] = fmt.Sprintf("%[2]s.%[1]s = %[3]s.%[1]s", pq.QuoteIdentifier(column), a, b)
	}
	return strings.Join(same, " AND ")
}

// intoTable is true for imports with rows in table $3. Older versions recorded only the
// fingerprint.
const intoTable = `import.mapping <> '' AND right(import.mapping, -17) IN ('', $3)`

// The first import with the key gets the row: in mode upsert that of the latest job, in mode
// append that of the earliest. Jobs that cannot have the key under these rules still come
// last, so that a row written under other rules is not deleted.
const selectOthers = `
SELECT ` + importOf + `
WHERE job.scrapingjob_id <> $1 AND ` + intoTable + `
ORDER BY job.scrapingjob_id * $2 > $1 * $2, job.scrapingjob_id * $2 DESC`

const importOf = `job.scrapingjob_id, job.account, job.sitemap_id, job.sitemap_name, import.import_id, import.mapping, import.last_record_number, import.records, import.unmapped, import.rows_only
FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id`

// otherImport is a published one.
type otherImport struct {
	sitemap
	Job        int64  `db:"scrapingjob_id"`
	ImportID   int64  `db:"import_id"`
	Mapping    string `db:"mapping"` // that made its records rows
	LastRecord int64  `db:"last_record_number"`
	Records    int64  `db:"records"`
	Unmapped   int64  `db:"unmapped"`
	RowsOnly   bool   `db:"rows_only"` // its records cannot be remapped
}

func (s *Store) mappingOf(other otherImport) *mapping.Mapping {
	return s.mappings.For(other.Account, other.Name)
}

// reassignLost reassigns rows with lost keys to other published imports. It remaps the
// records of those imports if they are kept, and returns their sitemaps.
func (m *mappedRows) reassignLost(ctx context.Context, tx transaction, mappingOf func(otherImport) *mapping.Mapping, job, lost int64) (got []sitemap, err error) {
	var others []otherImport
	if err := tx.SelectContext(ctx, &others, selectOthers, job, m.direction(), m.Table.String()); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("ANALYZE %[1]s; CREATE UNLOGGED TABLE %[2]s (LIKE %[3]s INCLUDING CONSTRAINTS)", m.lost(), m.others(), m.holding()))
	for _, other := range others {
		of := mappingOf(other)
		if lost == 0 || err != nil {
			break
		}
		var given int64
		switch {
		case other.RowsOnly:
			given, err = m.passOn(ctx, tx, job, other)
		case of != nil && of.Table == m.Table: // unless the mappings file has changed
			given, err = m.reassignTo(ctx, tx, of, job, other)
		}
		if given > 0 && !slices.Contains(got, other.sitemap) {
			got = append(got, other.sitemap)
		}
		lost -= given
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "DROP TABLE "+m.others())
	}
	return got, err
}

// reassignTo reassigns lost rows of a job to another job's import that has their keys.
func (m *mappedRows) reassignTo(ctx context.Context, tx transaction, of *mapping.Mapping, job int64, other otherImport) (given int64, err error) {
	if _, err := tx.ExecContext(ctx, "TRUNCATE "+m.others()); err != nil {
		return 0, err
	}
	err = newMappedRows(of, m.name+"_others").remap(ctx, tx, other.ImportID, func(int, []reject) error { return nil })
	if err != nil {
		return 0, fmt.Errorf("remapping the records of import %d: %w", other.ImportID, err)
	}
	if _, err := tx.ExecContext(ctx, "ANALYZE "+m.others()); err != nil {
		return 0, err
	}
	key := nameList("other.", m.Key)
	result, err := tx.ExecContext(ctx, fmt.Sprintf(
		`UPDATE %s AS present SET %s FROM (SELECT DISTINCT ON (%s) $2::bigint AS scrapingjob_id, other.* FROM %s AS other JOIN %s AS lost ON %s ORDER BY %[3]s, %[7]s) AS other
		WHERE present.scrapingjob_id = $1 AND %[8]s`,
		m.table(), m.set("other"), key, m.others(), m.lost(), m.sameKey("other", "lost"), m.counts(), m.sameKey("present", "other")), job, other.Job)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Records that had no row before get none now.
const selectMapped = `
SELECT record_number, data FROM scrapehaul.import_records AS record
WHERE import_id = $1 AND record_number > $2 AND NOT EXISTS (
    SELECT FROM scrapehaul.unmapped_records AS unmapped
    WHERE unmapped.import_id = $1 AND unmapped.record_number > $2 AND unmapped.record_number = record.record_number)
ORDER BY record_number LIMIT $3`

// remapBytes is about how many bytes of records are remapped at a time, remapFirst the
// number of records in the first piece. PostgreSQL resends records beyond a piece.
const (
	remapBytes = 8 << 20
	remapFirst = 100
)

// remap maps an import's records with the present mapping and copies the rows into the
// holding table. It calls each with the number of records and the unmapped ones among them.
func (m *mappedRows) remap(ctx context.Context, tx transaction, importID int64, each func(records int, unmapped []reject) error) error {
	batch := &importBatch{of: &attempt{request: sink.ImportRequest{Progress: tx.progress}, mapped: m}}
	for last, limit := int64(0), int64(remapFirst); ; batch.Reset() {
		next, err := batch.read(ctx, tx, importID, last, min(m.piece, limit))
		if err != nil || next == last {
			return err
		}
		last = next
		_, refused, err := batch.rowTable().copyAccepted(ctx, tx, batch.withRow(batch.records))
		if err == nil {
			err = each(batch.Len(), append(refused, batch.unmapped...))
		}
		if err != nil {
			return err
		}
		limit = 1 + remapBytes*int64(batch.Len())/int64(1+batch.Bytes())
	}
}

// read adds the import's next mapped records after number last, and returns the number of
// the last one added.
func (b *importBatch) read(ctx context.Context, tx transaction, importID, last, limit int64) (next int64, err error) {
	found, err := tx.QueryContext(ctx, selectMapped, importID, last, limit)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	var record sql.RawBytes
	for b.Bytes() < remapBytes && err == nil && found.Next() {
		if err = found.Scan(&last, &record); err == nil {
			b.add(last, record, record)
		}
	}
	return last, errors.Join(err, found.Err())
}
