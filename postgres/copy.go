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

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

const copyStatement = `
COPY scrapehaul.import_records (import_id, record_number, data) FROM STDIN`

// copyChunkBytes is how much the driver gets at a time: its buffer holds 64 KiB and is sent
// from 63 KiB on.
const copyChunkBytes = 63 << 10

// table is a table that a batch is copied into.
type table struct {
	batch   *importBatch
	copy    string
	rows    func([]batchRecord) iter.Seq[[]byte]
	refuses func(error) bool // whether the error is about a record's content
}

// recordTable is scrapehaul.import_records.
func (b *importBatch) recordTable() table { return table{b, copyStatement, b.rows, refused} }

// rowTable is the table that holds the mapped rows until they are published.
func (b *importBatch) rowTable() table {
	mapped := b.of.mapped
	return table{
		b, fmt.Sprintf("COPY %s (%s, %s) FROM STDIN", mapped.holding(), heldNumber, mapped.columnList("")), b.mappedRows,
		func(err error) bool { return refused(err) || mapped.refuses(err) },
	}
}

// withRow returns the records that fit the mapping.
func (b *importBatch) withRow(records []batchRecord) []batchRecord {
	if len(b.unmapped) == 0 {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(record batchRecord) bool { return record.row.start == record.row.end })
}

// copyRecords writes all records with one COPY per table. It refuses none itself: a
// PostgreSQL error fails the complete batch.
func copyRecords(ctx context.Context, tx transaction, batch *importBatch) (refused, unmapped []reject, err error) {
	if !batch.of.rowsOnly {
		if err := batch.recordTable().write(ctx, tx, batch.records); err != nil || batch.of.mapped == nil {
			return nil, nil, err
		}
	}
	return nil, batch.unmapped, batch.rowTable().write(ctx, tx, batch.withRow(batch.records))
}

func (t table) write(ctx context.Context, tx transaction, records []batchRecord) error {
	var copyErr error
	err := tx.conn.Raw(func(driverConn any) error {
		copyErr = copyBatch(ctx, driverConn, t.copy, t.rows(records), len(records), t.batch.of.progress)
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
	// lib/pq's own interface: database/sql has none for COPY.
	copier, ok := statement.(interface {
		CopyData(ctx context.Context, line string) (driver.Result, error)
	})
	if !ok {
		return fmt.Errorf("COPY needs the lib/pq driver (postgres.Open), not %T", statement)
	}
	// lib/pq already watches the transaction's context; here it would start a goroutine for
	// each call.
	unwatched := context.WithoutCancel(ctx)
	for chunk := range rows { // CopyData ends each of them with a newline
		if _, err := copier.CopyData(unwatched, jsontext.AsString(chunk)); err != nil {
			return err
		}
		progress() // a batch takes long over a slow network
	}
	result, err := statement.Exec(nil) //nolint:staticcheck // lib/pq's only way to end a COPY
	if err != nil {
		return err
	}
	if copied, err := result.RowsAffected(); err != nil || copied != int64(records) {
		return errors.Join(err, fmt.Errorf("COPY took %d records of %d", copied, records))
	}
	return nil
}

// copyAccepted writes the records that PostgreSQL accepts. Those that only the mapped table
// refuses are imported without a row there, or rejected if records are not kept.
func copyAccepted(ctx context.Context, tx transaction, batch *importBatch) (refused, unmapped []reject, err error) {
	passed, refused := batch.check()
	if batch.of.rowsOnly {
		_, further, err := batch.rowTable().copyAccepted(ctx, tx, passed)
		return append(refused, further...), nil, err
	}
	accepted, further, err := batch.recordTable().copyAccepted(ctx, tx, passed)
	refused = append(refused, further...)
	if err != nil || batch.of.mapped == nil {
		return refused, nil, err
	}
	_, unmapped, err = batch.rowTable().copyAccepted(ctx, tx, batch.withRow(accepted))
	for _, each := range batch.unmapped {
		if !slices.ContainsFunc(refused, func(r reject) bool { return r.number == each.number }) {
			unmapped = append(unmapped, each)
		}
	}
	return refused, unmapped, err
}

// copyAccepted finds the records that PostgreSQL refuses by halving: one in 5,000 costs
// about 20 COPYs.
func (t table) copyAccepted(ctx context.Context, tx transaction, records []batchRecord) (accepted []batchRecord, refused []reject, err error) {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT piece`); err != nil {
		return nil, nil, err
	}
	halves := &halves{table: t, tx: tx}
	if err := halves.copy(ctx, records, false); err != nil {
		return nil, nil, err
	}
	_, err = tx.ExecContext(ctx, `RELEASE SAVEPOINT piece`)
	return halves.accepted, halves.refused, err
}

// halves copies records into a table, in pieces that PostgreSQL accepts.
type halves struct {
	table
	tx       transaction
	accepted []batchRecord
	refused  []reject
}

// copy copies the records. known is set if PostgreSQL is known to refuse one of them.
func (h *halves) copy(ctx context.Context, records []batchRecord, known bool) error {
	if len(records) == 0 {
		return nil
	}
	if !known || len(records) == 1 {
		err := h.write(ctx, h.tx, records)
		next := `RELEASE SAVEPOINT piece; SAVEPOINT piece`
		switch refuses := h.refuses(err); {
		case err != nil && !refuses:
			return err
		case refuses:
			next = `ROLLBACK TO SAVEPOINT piece`
			if len(records) == 1 {
				reason := "PostgreSQL refuses it: " + h.batch.of.mapped.naming(pq.As(err).Message)
				h.refused = append(h.refused, reject{number: records[0].number, raw: h.batch.at(records[0].raw), reason: reason})
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

// refused reports whether PostgreSQL refused a record's content, as opposed to failing: a
// data exception, or one of its limits (nesting, size).
func refused(err error) bool {
	problem := pq.As(err)
	return problem != nil && slices.Contains(
		[]pqerror.Class{pqerror.ClassDataException, pqerror.ClassProgramLimitExceeded}, problem.Code.Class())
}
