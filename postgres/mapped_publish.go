package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// mappedTableLock is the first key of the advisory lock that lets one import be
// published into a table at a time, so that two never wait for each other's rows:
// "mapt" in ASCII. The second key is the hash of the table's name.
const mappedTableLock int32 = 0x6d617074

const lockMappedTable = `SELECT pg_try_advisory_xact_lock($1, hashtext($2))`

// lockEvery is how often an import that waits for its turn at the table looks.
const lockEvery = 500 * time.Millisecond

// mergeRecords is how many records become rows with one statement: they are
// sorted in memory.
const mergeRecords = 50_000

// Sorting so many rows by their key is done in memory.
const enlargeWorkMem = `
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB')`

// Whoever else has the table or its rows locked is not waited for for ever: the
// error says of which table, and the next attempt waits again.
const waitForLocks = `
SELECT set_config('lock_timeout', '60s', true) FROM pg_settings WHERE name = 'lock_timeout' AND setting::bigint NOT BETWEEN 1 AND 60000`

// What the table refuses is told as such, and not found at the commit.
const checkDeferred = `SET CONSTRAINTS ALL IMMEDIATE`

var errIncomplete = errors.New("rows that were committed for the mapped table are gone, as after a crash of PostgreSQL: the next attempt begins anew")

// publish brings the rows into the mapping's table. problem says what was left
// out besides.
func (m *mappedRows) publish(
	ctx context.Context, tx transaction, request sink.ImportRequest, mark sink.Mark,
) (problem string, err error) {
	if err := m.lock(ctx, tx); err != nil {
		return "", m.failed(err)
	}
	complete, err := m.complete(ctx, tx, mark.Good())
	if err == nil && !complete {
		err = errIncomplete
	}
	if err != nil {
		return "", m.failed(err)
	}
	// Nothing that a backup, which reads all tables of the schema, would keep waiting.
	for _, statement := range []string{
		enlargeWorkMem, waitForLocks, "CREATE UNIQUE INDEX ON " + m.holding() + " (" + heldNumber + ")", "ANALYZE " + m.holding(),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return "", m.failed(err)
		}
	}
	if _, err := tx.ExecContext(ctx, refuseHiding, m.table()); err != nil {
		return "", m.failed(err)
	}
	missing, problem, err := m.missing(ctx, tx, request, mark)
	if err != nil {
		return "", err
	}
	job := request.Job.ScrapingJobID
	if m.Mode != mapping.Upsert {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+m.table()+" WHERE scrapingjob_id = $1", job); err != nil {
			return "", m.failed(err)
		}
	}
	var late bool
	if m.DeactivateMissing != nil {
		if err := tx.GetContext(ctx, &late, hasLaterWhole, job, request.Job.SitemapID, request.Job.SitemapName); err != nil {
			return "", m.failed(err)
		}
	}
	merge := m.merge(late)
	for after := int64(0); after < mark.LastRecordNumber; after += mergeRecords {
		if _, err := tx.ExecContext(ctx, merge, job, after, after+mergeRecords); err != nil {
			return "", m.failed(err)
		}
	}
	if missing != "" {
		_, err = tx.ExecContext(ctx, fmt.Sprintf(
			"UPDATE %s AS present SET %s = false WHERE %s", m.table(), pq.QuoteIdentifier(m.DeactivateMissing.Column), missing),
			job, request.Job.SitemapID, request.Job.SitemapName)
		if err != nil {
			return "", m.failed(err)
		}
	}
	_, err = tx.ExecContext(ctx, checkDeferred)
	return problem, m.failed(err)
}

// lock waits for the imports that are being published into the table.
func (m *mappedRows) lock(ctx context.Context, tx transaction) error {
	for {
		var locked bool
		if err := tx.GetContext(ctx, &locked, lockMappedTable, mappedTableLock, m.Table.String()); err != nil || locked {
			return err
		}
		tx.progress()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockEvery):
		}
	}
}

// merge is the statement that makes rows of the records of job $1 with numbers
// over $2 up to $3. Records come in order, so the last one of a key, or with
// Append the first one, is the one that counts.
//
// With late, a later job has told already which rows are missing: a row that this
// one adds is one of them, and the others stay as they are.
func (m *mappedRows) merge(late bool) string {
	names, values := "scrapingjob_id, "+m.columnList(""), "$1::bigint, "+m.columnList("held.")
	set := []string{"scrapingjob_id = excluded.scrapingjob_id"}
	for _, column := range m.Columns {
		set = append(set, fmt.Sprintf("%[1]s = excluded.%[1]s", pq.QuoteIdentifier(column.Name)))
	}
	if missing := m.DeactivateMissing; missing != nil {
		active := pq.QuoteIdentifier(missing.Column)
		names = names + ", " + active
		if late {
			values += ", false"
		} else {
			values += ", true"
			set = append(set, active+" = true")
		}
	}
	key := nameList("", m.Key)
	from := fmt.Sprintf("FROM %[1]s AS held WHERE %[2]s > $2 AND %[2]s <= $3", m.holding(), heldNumber)
	insert := fmt.Sprintf("INSERT INTO %s AS present (%s) SELECT ", m.table(), names)
	lastOfKey := fmt.Sprintf("DISTINCT ON (%s) %s %s ORDER BY %s, %s DESC",
		nameList("held.", m.Key), values, from, nameList("held.", m.Key), heldNumber)
	update := "DO UPDATE SET " + strings.Join(set, ", ")
	switch {
	case m.Mode == mapping.Append:
		return insert + values + " " + from + " ORDER BY " + heldNumber + " ON CONFLICT (" + key + ") DO NOTHING"
	case m.Mode == mapping.Upsert:
		return insert + lastOfKey + " ON CONFLICT (" + key + ") " + update + " WHERE present.scrapingjob_id <= excluded.scrapingjob_id"
	case len(m.Key) > 0:
		return insert + lastOfKey + " ON CONFLICT (scrapingjob_id, " + key + ") " + update
	default:
		return insert + values + " " + from + " ORDER BY " + heldNumber
	}
}

// Jobs of a sitemap, by its ID or name: one that was renamed keeps its ID.
const jobsOfSitemap = `
SELECT scrapingjob_id FROM scrapehaul.scraping_jobs WHERE (sitemap_id = nullif($2::bigint, 0) OR sitemap_name = $3)`

const hasLaterJob = `
SELECT EXISTS (SELECT FROM scrapehaul.scraping_jobs
               WHERE (sitemap_id = nullif($2::bigint, 0) OR sitemap_name = $3) AND scrapingjob_id > $1
                 AND status = 'finished' AND published_import_id IS NOT NULL)`

// One that has brought everything into a mapped table.
const hasLaterWhole = `
SELECT EXISTS (SELECT FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
               WHERE (job.sitemap_id = nullif($2::bigint, 0) OR job.sitemap_name = $3) AND job.scrapingjob_id > $1
                 AND job.status = 'finished' AND import.mapping <> ''
                 AND import.rejected = 0 AND import.unmapped = 0 AND import.records + import.skipped >= job.stored_record_count)`

// missing returns the condition of the rows, called present, that are to be
// deactivated, with the job and the sitemap as $1 to $3, "" if there are to be none;
// or why a person has to decide about them. A job that has not brought everything
// shows of no row that it is missing.
func (m *mappedRows) missing(ctx context.Context, tx transaction, request sink.ImportRequest, mark sink.Mark) (condition, problem string, err error) {
	job := request.Job
	if m.DeactivateMissing == nil || job.Status != "finished" {
		return "", "", nil
	}
	if mark.Bad() > 0 || mark.All() < job.StoredRecordCount {
		return "", fmt.Sprintf("rows of table %s that job %d has not brought were not deactivated: of its %d records %d were rejected, %d do not fit the table, and %d are not in the file",
			m.Table, job.ScrapingJobID, job.StoredRecordCount, mark.Rejected, mark.Unmapped, max(0, job.StoredRecordCount-mark.All())), nil
	}
	of := []any{job.ScrapingJobID, job.SitemapID, job.SitemapName}
	var later bool
	if err := tx.GetContext(ctx, &later, hasLaterJob, of...); err != nil || later {
		return "", "", m.failed(err)
	}
	var same []string
	for _, column := range m.Key {
		same = append(same, fmt.Sprintf("held.%[1]s = present.%[1]s", pq.QuoteIdentifier(column)))
	}
	active := fmt.Sprintf("present.%s AND present.scrapingjob_id <= $1 AND present.scrapingjob_id IN (%s)",
		pq.QuoteIdentifier(m.DeactivateMissing.Column), jobsOfSitemap)
	condition = fmt.Sprintf("%s AND NOT EXISTS (SELECT FROM %s AS held WHERE %s)", active, m.holding(), strings.Join(same, " AND "))
	// As conditions of a statement each, so that PostgreSQL joins the tables: it
	// would look into held once for each row.
	var counts struct{ All, Missing int64 }
	count := fmt.Sprintf(`SELECT (SELECT count(*) FROM %[1]s AS present WHERE %[2]s) AS "all", (SELECT count(*) FROM %[1]s AS present WHERE %[3]s) AS missing`,
		m.table(), active, condition)
	if err := tx.GetContext(ctx, &counts, count, of...); err != nil {
		return "", "", m.failed(err)
	}
	brake := int64(m.DeactivateMissing.BrakePercent)
	asked := sink.Question{Kind: sink.ManyRowsMissing, Worse: counts.Missing, Reason: fmt.Sprintf(
		"the job would deactivate %d of the %d active rows of its sitemap in table %s, more than %d %% (brake_percent)",
		counts.Missing, counts.All, m.Table, brake)}
	if 100*counts.Missing > brake*counts.All && !asked.AcceptedIn(request.Accepted) {
		return "", "", &sink.WithheldError{Question: asked}
	}
	return condition, "", nil
}
