package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// MappedTableError says that the table of a mapping, and not schema scrapehaul,
// is what keeps an import from going on.
type MappedTableError struct {
	Table mapping.Table
	Err   error
	// Fix are the statements that make the table as its mapping wants it, where
	// they are known.
	Fix []string
}

// Error names the table, and leaves out PostgreSQL's detail where that is the whole
// row.
func (e *MappedTableError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("table %s is not as its mapping wants it, run: %s", e.Table, strings.Join(e.Fix, " "))
	}
	message := e.Err.Error()
	// That of other constraints has the whole row, with columns that are none of ours.
	if refused := pq.As(e.Err); refused != nil && refused.Detail != "" &&
		refused.Code != pqerror.NotNullViolation && refused.Code != pqerror.CheckViolation {
		message += " (" + refused.Detail + ")"
	}
	if len(e.Fix) > 0 {
		message += ", run: " + strings.Join(e.Fix, " ")
	}
	return fmt.Sprintf("table %s: %s", e.Table, message)
}

// Unwrap returns what PostgreSQL said.
func (e *MappedTableError) Unwrap() error { return e.Err }

// mappedRows are the records of an import as rows of a mapping's table. Until
// the import is published they are in a table of their own, with columns of the
// same types, filled in the transactions of the batches.
type mappedRows struct {
	*mapping.Mapping
	converter *mapping.Converter
	name      string // of the table with the rows, in schema scrapehaul
	piece     int64  // how many records become rows with one statement
}

func newMappedRows(of *mapping.Mapping, name string) *mappedRows {
	return &mappedRows{Mapping: of, converter: of.NewConverter(), name: name, piece: mergeRecords}
}

// mappedBy is what an import notes of its mapping: the fingerprint, of 16 characters,
// and the table.
func mappedBy(of *mapping.Mapping) string {
	if of == nil {
		return ""
	}
	return of.Fingerprint() + " " + of.Table.String()
}

// loadedBy is what an import notes until it is published. A version that knows nothing of
// rows without records takes over none that has begun with them.
func loadedBy(of *mapping.Mapping) string {
	if of != nil && of.RowsOnly {
		return "rows only: " + mappedBy(of)
	}
	return mappedBy(of)
}

// failed says of an error that it is the table's; what is withheld is none.
func (m *mappedRows) failed(err error) error {
	_, withheld := errors.AsType[*sink.WithheldError](err)
	if _, told := errors.AsType[*MappedTableError](err); err == nil || withheld || told {
		return err
	}
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.UndefinedTable {
		err = fmt.Errorf("%w; if it is gone, worker migrate-mapping makes it, and starter backfill fills it after that", err)
	}
	return &MappedTableError{Table: m.Table, Err: err}
}

// holdingTable is the name, in schema scrapehaul, of the table that holds the
// rows of an import until it is published.
func holdingTable(importID int64) string { return fmt.Sprintf("mapped_rows_%d", importID) }

// heldNumber is the column with the record's number, by a name that no mapped one
// is likely to have.
const heldNumber = `"number of the record"`

func (m *mappedRows) holding() string { return "scrapehaul." + m.name }

func (m *mappedRows) table() string { return quoted(m.Table) }

func quoted(table mapping.Table) string {
	return pq.QuoteIdentifier(table.Schema) + "." + pq.QuoteIdentifier(table.Name)
}

// columnList has the columns of the mapping with commas between, each after the
// prefix.
func (m *mappedRows) columnList(prefix string) string { return nameList(prefix, m.names()) }

func (m *mappedRows) names() (names []string) {
	for _, column := range m.Columns {
		names = append(names, column.Name)
	}
	return names
}

func nameList(prefix string, names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = prefix + pq.QuoteIdentifier(name)
	}
	return strings.Join(quoted, ", ")
}

// Without a lock on the table, which a backfill would keep from its migration for as long as
// it maps. One that is gone is an error.
const selectColumnDefinitions = `
SELECT coalesce(string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)) || CASE WHEN attcollation <> typcollation
    THEN (SELECT format(' COLLATE %I.%I', collnamespace::regnamespace::name, collname) FROM pg_collation AS other WHERE other.oid = attcollation) ELSE '' END,
    ', ' ORDER BY array_position($2::name[], attname)), '')
FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid
WHERE attrelid = $1::regclass AND attname = ANY($2::name[]) AND attnum > 0 AND NOT attisdropped`

// Constraints that concern other columns too are checked when the rows are published.
const selectConstraints = `
SELECT format('ALTER %I SET NOT NULL', attname) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attnotnull AND attname = ANY($2)
UNION ALL
SELECT format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid = to_regclass($1) AND contype = 'c' AND conkey <@ ARRAY(
    SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = ANY($2))`

// create makes the table that holds the rows. It checks what the mapping's table
// checks of a row by itself, so that a record which does not fit is found with its
// batch, and not when all of them are published.
//
// PostgreSQL writes no WAL for the table, and empties it after a crash: the import
// begins anew then.
func (m *mappedRows) create(ctx context.Context, tx transaction) error {
	_, err := checkShape(ctx, tx, m.Mapping)
	var columns string
	if err == nil {
		err = tx.GetContext(ctx, &columns, selectColumnDefinitions, m.table(), pq.StringArray(m.names()))
	}
	var missing []string
	if err == nil {
		missing, err = missingInTable(ctx, tx, m.Mapping)
	}
	if err == nil && len(missing) > 0 { // since the worker's start, or it is just being migrated
		if _, err = checkShape(ctx, tx, m.Mapping); err == nil {
			return &MappedTableError{Table: m.Table, Fix: missing}
		}
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, fmt.Sprintf("CREATE UNLOGGED TABLE %s (%s bigint, %s)", m.holding(), heldNumber, columns))
	}
	var changes []string
	if err == nil {
		err = tx.SelectContext(ctx, &changes, selectConstraints, m.table(), pq.StringArray(m.names()))
	}
	if err == nil {
		changes = append(changes, "ALTER "+heldNumber+" SET NOT NULL")
		_, err = tx.ExecContext(ctx, "ALTER TABLE "+m.holding()+" "+strings.Join(changes, ", "))
	}
	return m.failed(err)
}

// checkComplete returns errIncomplete unless there is a row for every record that has been
// committed and fits: not after a crash of PostgreSQL, nor when a worker that knows nothing
// of the mapping has committed records alone.
func (m *mappedRows) checkComplete(ctx context.Context, tx transaction, records int64) error {
	var exists bool
	var held int64
	err := tx.GetContext(ctx, &exists, `SELECT to_regclass($1) IS NOT NULL`, m.holding())
	if err == nil && exists {
		err = tx.GetContext(ctx, &held, "SELECT count(*) FROM "+m.holding())
	}
	if err == nil && (!exists || held != records) {
		err = errIncomplete
	}
	return err
}

// dropHolding drops the table, unless somebody reads it, such as a backup, which
// can take hours: RemoveUnneeded tries again.
func dropHolding(ctx context.Context, tx transaction, importID int64) error {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT holding; `+waitForReaders); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS scrapehaul."+holdingTable(importID))
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.LockNotAvailable {
		_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT holding`)
	}
	return err
}

// appendRow appends the record's row as COPY data, or returns why the record does
// not fit.
func (m *mappedRows) appendRow(to []byte, number int64, record []byte) ([]byte, error) {
	values, err := m.converter.Row(record)
	if err != nil {
		return to, err
	}
	to = strconv.AppendInt(to, number, 10)
	for _, value := range values {
		to = append(to, '\t')
		if value == nil {
			to = append(to, `\N`...)
		} else {
			to = appendEscaped(to, value)
		}
	}
	return append(to, '\n'), nil
}

// naming has the message name the mapping's table, which people know.
func (m *mappedRows) naming(message string) string {
	if m == nil {
		return message
	}
	return strings.ReplaceAll(message, pq.QuoteIdentifier(m.name), pq.QuoteIdentifier(m.Table.Name))
}

// refuses says whether the table refused what a row holds: by a constraint of its
// own or of a domain, or of a constraint's function.
func (m *mappedRows) refuses(err error) bool {
	problem := pq.As(err)
	if m == nil || problem == nil {
		return false
	}
	switch problem.Code.Class() {
	case pqerror.ClassIntegrityConstraintViolation:
		return problem.Table == m.name || problem.DataTypeName != ""
	case pqerror.ClassPLpgSQLError:
		return true // no other table has functions
	}
	return false
}
