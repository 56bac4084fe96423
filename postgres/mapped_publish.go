package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// mappedTableLock is the first key of the advisory lock that lets one import at a time
// publish into a table, so that two never wait for each other's rows: "mapt" in ASCII. The
// second key is the hash of the table's name.
const mappedTableLock int32 = 0x6d617074

const lockMappedTable = `SELECT pg_try_advisory_xact_lock($1, hashtext($2))`

// lockEvery is how often a waiting import retries that lock.
const lockEvery = 500 * time.Millisecond

// mergeRecords is how many records one statement merges, sorted in memory.
const mergeRecords = 50_000

// mergePieces limits the pieces, each of which is a subtransaction: beyond 64, other sessions
// must look up subtransactions on disk.
const mergePieces = 60

// Lets PostgreSQL sort a piece by its keys in memory.
const enlargeWorkMem = `
SELECT set_config('work_mem', '64MB', true) WHERE pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB')`

// Bounds the wait for locks on the table and its rows: the error names the table, and the next
// attempt waits again.
const waitForLocks = `
SELECT set_config('lock_timeout', '60s', true) FROM pg_settings WHERE name = 'lock_timeout' AND setting::bigint NOT BETWEEN 1 AND 60000`

// Checks deferred constraints before the commit, so that the error names the table.
const checkDeferred = `SET CONSTRAINTS ALL IMMEDIATE`

var errIncomplete = errors.New("rows committed for the mapped table are gone, as after a PostgreSQL crash: the next attempt starts over")

// publishRows merges the rows into the mapped table, which then matches the published
// imports. problems are sentences for operators, or "".
func (i *attempt) publishRows(ctx context.Context, tx transaction) (problems []string, err error) {
	m, job, checkpoint := i.mapped, i.request.Job, i.Checkpoint()
	if err := m.checkComplete(ctx, tx, checkpoint.Good()); err != nil {
		return nil, err
	}
	empty, err := i.checkValues(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := m.prepare(ctx, tx); err != nil {
		return nil, err
	}
	of, problem := sitemap{job.SitemapID, job.SitemapName, job.Account}, ""
	before, err := m.activity(ctx, tx, of)
	if err != nil {
		return nil, err
	}
	gone, got, err := m.removeOld(ctx, tx, i.store.mappingOf, job.ScrapingJobID)
	if err != nil {
		return nil, err
	}
	if err := m.mergeAll(ctx, tx, job.ScrapingJobID, checkpoint.LastRecordNumber, job.ScrapingJobID >= before.Newest); err != nil {
		return nil, err
	}
	if m.DeactivateMissing != nil {
		if !slices.Contains(got, of) {
			got = append(got, of)
		}
		missing, err := m.deactivate(ctx, tx, got)
		if err == nil {
			err = m.brake(gone+missing, before.Active, i.request.Accepted)
		}
		if err != nil {
			return nil, err
		}
		problem = m.notDeactivated(job, checkpoint)
	}
	if _, err = tx.ExecContext(ctx, checkDeferred); err == nil && i.rowsOnly {
		err = i.noteRows(ctx, tx)
	}
	return []string{problem, empty}, err
}

// prepare locks the table for publishing and sets up the merge.
func (m *mappedRows) prepare(ctx context.Context, tx transaction) error {
	if err := m.lock(ctx, tx); err != nil {
		return err
	}
	if _, err := checkShape(ctx, tx, m.Mapping); err != nil { // the table may have been migrated since the import started
		return err
	}
	// Nothing that has to wait for a backup, which reads all tables of the schema.
	for _, statement := range []string{
		enlargeWorkMem, waitForLocks, "CREATE INDEX ON " + m.holding() + " USING brin (" + heldNumber + ") WITH (pages_per_range = 32)",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, refuseHiding, m.table())
	return err
}

// lock waits for other imports that are being published into the table.
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

// mergeAll merges the records into the table. Of several with one key, the one that wins comes
// last.
func (m *mappedRows) mergeAll(ctx context.Context, tx transaction, job, lastRecord int64, active bool) error {
	piece := max(m.piece, lastRecord/mergePieces+1)
	merges, pieces := m.merges(active), (lastRecord+piece-1)/piece
	if len(m.Key) > 0 {
		// Fails without the unique index, which the first statement does not need. From here on
		// nobody can drop it.
		if _, err := tx.ExecContext(ctx, "EXPLAIN "+merges[1], job, 0, 0); err != nil {
			return err
		}
	}
	for n := range pieces {
		if m.Mode == mapping.Append {
			n = pieces - 1 - n
		}
		var err error
		if merges, err = merges.run(ctx, tx, job, n*piece, (n+1)*piece); err != nil {
			return err
		}
	}
	return nil
}

// merges are statements that merge the records of job $1 with numbers over $2 up to $3. Each
// handles what the previous, faster one refuses: keys that have a row, and keys that several
// of the records have.
type merges []string

// run merges a piece. It returns the statements for the next piece, without those that were
// refused.
func (s merges) run(ctx context.Context, tx transaction, args ...any) (merges, error) {
	for ; len(s) > 1; s = s[1:] {
		if _, err := tx.ExecContext(ctx, `SAVEPOINT merge`); err != nil {
			return s, err
		}
		_, err := tx.ExecContext(ctx, s[0], args...)
		next := `RELEASE SAVEPOINT merge`
		refused := pq.As(err)
		again := refused != nil && (refused.Code == pqerror.UniqueViolation || refused.Code == pqerror.CardinalityViolation)
		if again {
			next = `ROLLBACK TO SAVEPOINT merge`
		} else if err != nil {
			return s, err
		}
		if _, err := tx.ExecContext(ctx, next); err != nil || !again {
			return s, err
		}
	}
	_, err := tx.ExecContext(ctx, s[0], args...)
	return s, err
}

func (m *mappedRows) merges(active bool) merges {
	names, values := "scrapingjob_id, "+m.columnList(""), "$1::bigint, "+m.columnList("held.")
	set := m.set("excluded")
	if m.DeactivateMissing != nil {
		names, values = names+", "+m.active(), fmt.Sprintf("%s, %t", values, active)
		set = fmt.Sprintf("%s, %s = %t", set, m.active(), active)
	}
	insert := fmt.Sprintf("INSERT INTO %s AS present (%s) SELECT ", m.table(), names)
	from := fmt.Sprintf(" FROM %[1]s AS held WHERE %[2]s > $2 AND %[2]s <= $3", m.holding(), heldNumber)
	if len(m.Key) == 0 {
		return merges{insert + values + from}
	}
	key, wins := nameList("held.", m.Key), "<="
	if m.Mode == mapping.Append {
		wins = ">="
	}
	// Sorted for locality in the index; comparing bytes is faster than by a collation.
	nearby := make([]string, len(m.Key))
	for i, name := range m.Key {
		nearby[i] = "held." + pq.QuoteIdentifier(name)
		if shapeOf(m.Mapping).column(name).Type == mapping.Text {
			nearby[i] += `::text COLLATE "C"`
		}
	}
	sorted := from + " ORDER BY " + strings.Join(nearby, ", ")
	upsert := " ON CONFLICT (" + nameList("", shapeOf(m.Mapping).uniqueKey()) + ") DO UPDATE SET " + set +
		" WHERE present.scrapingjob_id " + wins + " excluded.scrapingjob_id"
	return merges{
		insert + values + sorted,
		insert + values + sorted + upsert,
		insert + "DISTINCT ON (" + key + ") " + values + from + " ORDER BY " + key + ", " + m.counts() + upsert,
	}
}

// direction is -1 if the first job with a key wins, and 1 if the last one does.
func (m *mappedRows) direction() int {
	if m.Mode == mapping.Append {
		return -1
	}
	return 1
}

// counts is the order in which, of records with one key, the one that wins comes first: the
// last record, or with Append the first.
func (m *mappedRows) counts() string {
	if m.Mode == mapping.Append {
		return heldNumber
	}
	return heldNumber + " DESC"
}

// set returns the assignments that copy another row's columns.
func (m *mappedRows) set(other string) string {
	set := []string{fmt.Sprintf("scrapingjob_id = %s.scrapingjob_id", other)}
	for _, column := range m.Columns {
		set = append(set, fmt.Sprintf("%[1]s = %[2]s.%[1]s", pq.QuoteIdentifier(column.Name), other))
	}
	return strings.Join(set, ", ")
}
