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

// copyRecords writes all records with one COPY. It refuses none by itself: an
// error of PostgreSQL sinks the whole batch.
func copyRecords(ctx context.Context, tx transaction, batch *importBatch) ([]reject, error) {
	var copyErr error
	err := tx.conn.Raw(func(driverConn any) error {
		copyErr = copyBatch(ctx, driverConn, copyStatement, batch.rows, len(batch.records))
		if mapped := batch.of.mapped; mapped != nil && copyErr == nil {
			copyErr = copyBatch(ctx, driverConn, mapped.copy, batch.mappedRows, len(batch.records))
		}
		return nil // see transaction
	})
	return nil, errors.Join(copyErr, err)
}

func copyBatch(ctx context.Context, driverConn any, statementText string, rows iter.Seq[[]byte], records int) error {
	preparer, ok := driverConn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("COPY needs the lib/pq driver (sqlx.Open(\"postgres\", …)), not %T", driverConn)
	}
	statement, err := preparer.PrepareContext(ctx, statementText)
	if err != nil {
		return err
	}
	copied, err := copyRows(ctx, statement, rows)
	if err == nil && copied != int64(records) {
		err = fmt.Errorf("COPY took %d records of %d", copied, records)
	}
	return errors.Join(err, statement.Close())
}

func copyRows(ctx context.Context, statement driver.Stmt, rows iter.Seq[[]byte]) (int64, error) {
	// The interface is lib/pq's own; database/sql has none for COPY.
	copier, ok := statement.(interface {
		CopyData(ctx context.Context, line string) (driver.Result, error)
	})
	if !ok {
		return 0, fmt.Errorf("COPY needs the lib/pq driver (sqlx.Open(\"postgres\", …)), not %T", statement)
	}
	// lib/pq watches the context of the transaction. For each CopyData it would
	// watch its context too, with a goroutine of its own.
	unwatched := context.WithoutCancel(ctx)
	for chunk := range rows { // CopyData ends each of them with a newline
		if _, err := copier.CopyData(unwatched, asString(chunk)); err != nil {
			return 0, err
		}
	}
	result, err := statement.Exec(nil) //nolint:staticcheck // the end of COPY has no other form in lib/pq
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const insertRecord = `
INSERT INTO scrapehaul.import_records (import_id, record_number, data) VALUES ($1, $2, $3::jsonb)`

// insertOneByOne writes the records so that one refused by PostgreSQL leaves
// the others in place. It is for the rare batch that COPY cannot take.
func insertOneByOne(ctx context.Context, tx transaction, batch *importBatch) ([]reject, error) {
	var rejects []reject
	mapped, begin := batch.of.mapped, 0
	for _, record := range batch.records {
		if _, err := tx.ExecContext(ctx, `SAVEPOINT record`); err != nil {
			return nil, err
		}
		data := batch.json(record)
		batch.writer.look(data)
		_, err := tx.ExecContext(ctx, insertRecord, batch.of.id, record.number, string(data))
		if mapped != nil {
			if err == nil {
				err = mapped.insertRow(ctx, tx, batch.mapped[begin:record.mapped])
			}
			begin = record.mapped
		}
		after := `RELEASE SAVEPOINT record`
		if refused(err) || mapped.refuses(err) {
			reason := "PostgreSQL refuses it: " + mapped.naming(pq.As(err).Message)
			rejects = append(rejects, reject{number: record.number, raw: data, reason: reason})
			after, err = `ROLLBACK TO SAVEPOINT record`, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, after); err != nil {
			return nil, err
		}
	}
	return rejects, nil
}

// refused says whether PostgreSQL refused what a record holds, as opposed to
// having failed: a data exception or a limit of its own (nesting, size).
func refused(err error) bool {
	problem := pq.As(err)
	return problem != nil && slices.Contains(
		[]pqerror.Class{pqerror.ClassDataException, pqerror.ClassProgramLimitExceeded}, problem.Code.Class())
}
