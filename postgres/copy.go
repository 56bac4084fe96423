package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

const copyStatement = `
COPY scrapehaul.import_records (import_id, record_number, data) FROM STDIN`

// copyChunkBytes is how much goes to the driver at a time: its buffer takes 64 KiB,
// and is sent from 63 KiB on.
const copyChunkBytes = 63 << 10

// table is one that the records of a batch, or those of them that takes says, are
// copied into.
type table struct {
	copy    string
	takes   func([]batchRecord) []batchRecord
	rows    func([]batchRecord) iter.Seq[[]byte]
	refuses func(error) bool // a record, as opposed to failing
}

// tables are scrapehaul.import_records and, with a mapping, the one that holds its
// rows.
func (b *importBatch) tables() []table {
	all := func(records []batchRecord) []batchRecord { return records }
	tables := []table{{copyStatement, all, b.rows, refused}}
	if mapped := b.of.mapped; mapped != nil {
		refuses := func(err error) bool { return refused(err) || mapped.refuses(err) }
		tables = append(tables, table{mapped.copy, b.withRow, b.mappedRows, refuses})
	}
	return tables
}

// withRow returns those of the records that fit the mapping.
func (b *importBatch) withRow(records []batchRecord) []batchRecord {
	if len(b.unmapped) == 0 {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(record batchRecord) bool { return record.row.start == record.row.end })
}

// copyRecords writes all records with one COPY a table. It refuses none by itself:
// an error of PostgreSQL sinks the whole batch.
func copyRecords(ctx context.Context, tx transaction, batch *importBatch) (refused, unmapped []reject, err error) {
	for _, into := range batch.tables() {
		if err := into.write(ctx, tx, into.takes(batch.records), batch.of.progress); err != nil {
			return nil, nil, err
		}
	}
	return nil, batch.unmapped, nil
}

func (t table) write(ctx context.Context, tx transaction, records []batchRecord, progress func()) error {
	return copyInto(ctx, tx, t.copy, t.rows(records), len(records), progress)
}

func copyInto(ctx context.Context, tx transaction, statement string, rows iter.Seq[[]byte], records int, progress func()) error {
	var copyErr error
	err := tx.conn.Raw(func(driverConn any) error {
		copyErr = copyBatch(ctx, driverConn, statement, rows, records, progress)
		return nil // see transaction
	})
	return errors.Join(copyErr, err)
}

func copyBatch(ctx context.Context, driverConn any, statementText string, rows iter.Seq[[]byte], records int, progress func()) (err error) {
	preparer, ok := driverConn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("COPY needs the lib/pq driver (postgres.Open), not %T", driverConn)
	}
	statement, err := preparer.PrepareContext(ctx, statementText)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	// The interface is lib/pq's own; database/sql has none for COPY.
	copier, ok := statement.(interface {
		CopyData(ctx context.Context, line string) (driver.Result, error)
	})
	if !ok {
		return fmt.Errorf("COPY needs the lib/pq driver (postgres.Open), not %T", statement)
	}
	// lib/pq watches the context of the transaction. For each CopyData it would
	// watch its context too, with a goroutine of its own.
	unwatched := context.WithoutCancel(ctx)
	for chunk := range rows { // CopyData ends each of them with a newline
		if _, err := copier.CopyData(unwatched, asString(chunk)); err != nil {
			return err
		}
		progress() // a slow network takes long for a batch
	}
	result, err := statement.Exec(nil) //nolint:staticcheck // the end of COPY has no other form in lib/pq
	if err != nil {
		return err
	}
	if copied, err := result.RowsAffected(); err != nil || copied != int64(records) {
		return errors.Join(err, fmt.Errorf("COPY took %d records of %d", copied, records))
	}
	return nil
}

// copyAccepted writes the records but for those that PostgreSQL refuses: it finds
// them by halving, so that one among 5,000 costs some 20 COPYs, and not a
// statement for each record. What only the mapping's table refuses is imported
// without a row there.
func copyAccepted(ctx context.Context, tx transaction, batch *importBatch) (refused, unmapped []reject, err error) {
	records := batch.records
	for n, into := range batch.tables() {
		halves := &halves{table: into, tx: tx, batch: batch}
		if _, err := tx.ExecContext(ctx, `SAVEPOINT piece`); err != nil {
			return nil, nil, err
		}
		if err := halves.copy(ctx, into.takes(records), false); err != nil {
			return nil, nil, err
		}
		if _, err := tx.ExecContext(ctx, `RELEASE SAVEPOINT piece`); err != nil {
			return nil, nil, err
		}
		if n == 0 {
			records, refused = halves.accepted, halves.refused
		} else {
			unmapped = halves.refused
		}
	}
	for _, each := range batch.unmapped {
		if !slices.ContainsFunc(refused, func(r reject) bool { return r.number == each.number }) {
			unmapped = append(unmapped, each)
		}
	}
	return refused, unmapped, nil
}

// halves copies records into a table, in pieces that PostgreSQL accepts.
type halves struct {
	table
	tx       transaction
	batch    *importBatch
	accepted []batchRecord
	refused  []reject
}

// copy copies the records; known is set when PostgreSQL is known to refuse one of
// them.
func (h *halves) copy(ctx context.Context, records []batchRecord, known bool) error {
	if len(records) == 0 {
		return nil
	}
	if !known || len(records) == 1 {
		err := h.write(ctx, h.tx, records, h.batch.of.progress)
		next := `RELEASE SAVEPOINT piece; SAVEPOINT piece`
		switch refuses := h.refuses(err); {
		case err != nil && !refuses:
			return err
		case refuses:
			next = `ROLLBACK TO SAVEPOINT piece`
			if len(records) == 1 {
				reason := "PostgreSQL refuses it: " + h.batch.of.mapped.naming(pq.As(err).Message)
				h.refused = append(h.refused, reject{number: records[0].number, raw: h.batch.raw(records[0]), reason: reason})
			}
		default:
			h.accepted = append(h.accepted, records...)
		}
		if _, execErr := h.tx.ExecContext(ctx, next); execErr != nil {
			return execErr
		}
		h.batch.of.progress()
		if err == nil || len(records) == 1 {
			return nil
		}
	}
	before, half := len(h.refused), len(records)/2
	if err := h.copy(ctx, records[:half], false); err != nil {
		return err
	}
	return h.copy(ctx, records[half:], len(h.refused) == before)
}

// refused says whether PostgreSQL refused what a record holds, as opposed to
// having failed: a data exception or a limit of its own (nesting, size).
func refused(err error) bool {
	problem := pq.As(err)
	return problem != nil && slices.Contains(
		[]pqerror.Class{pqerror.ClassDataException, pqerror.ClassProgramLimitExceeded}, problem.Code.Class())
}
