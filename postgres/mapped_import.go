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

// MappedTableError is a problem with a mapped table, as opposed to schema scrapehaul, that
// keeps an import from continuing.
type MappedTableError struct {
	Table mapping.Table
	Err   error
	// Fix has the statements that make the table match its mapping, if they are known.
	Fix []string
}

// Error names the table. It omits PostgreSQL's detail if that shows the complete row.
func (e *MappedTableError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("table %s does not match its mapping, run: %s", e.Table, strings.Join(e.Fix, " "))
	}
	message := e.Err.Error()
	// The detail of these constraints shows the row with the host's own columns.
	if refused := pq.As(e.Err); refused != nil && refused.Detail != "" &&
		refused.Code != pqerror.NotNullViolation && refused.Code != pqerror.CheckViolation {
		message += " (" + refused.Detail + ")"
	}
	if len(e.Fix) > 0 {
		message += ", run: " + strings.Join(e.Fix, " ")
	}
	return fmt.Sprintf("table %s: %s", e.Table, message)
}

// Unwrap returns the underlying error.
func (e *MappedTableError) Unwrap() error { return e.Err }

// mappedRows writes an import's records as rows of a mapped table. Until the import is
// published, a holding table with columns of the same types keeps the rows. Each batch fills
// it in its transaction.
type mappedRows struct {
	*mapping.Mapping
	converter *mapping.Converter
	name      string // of the holding table, in schema scrapehaul
	piece     int64  // how many records one statement merges
}

func newMappedRows(of *mapping.Mapping, name string) *mappedRows {
	return &mappedRows{Mapping: of, converter: of.NewConverter(), name: name, piece: mergeRecords}
}

// mappedBy returns what an import records of its mapping: the fingerprint of 16 characters
// and the table.
func mappedBy(of *mapping.Mapping) string {
	if of == nil {
		return ""
	}
	return of.Fingerprint() + " " + of.Table.String()
}

// loadedBy returns what an import records of its mapping until it is published. The prefix
// keeps versions that do not know keep_records from resuming such an import.
func loadedBy(of *mapping.Mapping) string {
	if of != nil && of.RowsOnly {
		return "rows only: " + mappedBy(of)
	}
	return mappedBy(of)
}

// failed wraps an error as a MappedTableError, unless it is a WithheldError.
func (m *mappedRows) failed(err error) error {
	_, withheld := errors.AsType[*sink.WithheldError](err)
	if _, wrapped := errors.AsType[*MappedTableError](err); err == nil || withheld || wrapped {
		return err
	}
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.UndefinedTable {
		err = fmt.Errorf("%w; if it was dropped, create it with worker migrate-mapping and fill it with starter backfill", err)
	}
	return &MappedTableError{Table: m.Table, Err: err}
}

// holdingTable returns the name, in schema scrapehaul, of an import's holding table.
func holdingTable(importID int64) string { return fmt.Sprintf("mapped_rows_%d", importID) }

// heldNumber is the column of the record number. No mapped column is likely to have its name.
const heldNumber = `"number of the record"`

func (m *mappedRows) holding() string { return "scrapehaul." + m.name }

func (m *mappedRows) table() string { return quoted(m.Table) }

func quoted(table mapping.Table) string {
	return pq.QuoteIdentifier(table.Schema) + "." + pq.QuoteIdentifier(table.Name)
}

// columnList returns the mapped columns, each with the prefix, separated by commas.
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

// Takes no lock on the table: a backfill would block migrations of the table for as long as
// it maps. A missing table is an error.
const selectColumnDefinitions = `
SELECT coalesce(string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)) || CASE WHEN attcollation <> typcollation
    THEN (SELECT format(' COLLATE %I.%I', collnamespace::regnamespace::name, collname) FROM pg_collation AS other WHERE other.oid = attcollation) ELSE '' END,
    ', ' ORDER BY array_position($2::name[], attname)), '')
FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid
WHERE attrelid = $1::regclass AND attname = ANY($2::name[]) AND attnum > 0 AND NOT attisdropped`

// Constraints that involve other columns are checked when the rows are published.
const selectConstraints = `
SELECT format('ALTER %I SET NOT NULL', attname) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attnotnull AND attname = ANY($2)
UNION ALL
SELECT format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE conrelid = to_regclass($1) AND contype = 'c' AND conkey <@ ARRAY(
    SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = ANY($2))`

// create creates the holding table. It has the mapped table's constraints on single rows, so
// that a record that does not fit is found with its batch, and not while publishing.
//
// The table is unlogged: PostgreSQL empties it after a crash, and the import starts over.
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
	if err == nil && len(missing) > 0 { // changed since the worker started, or being migrated
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

// checkComplete returns errIncomplete unless every committed record that fits has a row. Rows
// are missing after a PostgreSQL crash, or if a worker without the mapping committed records.
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

// dropHolding drops the holding table, unless another session reads it, such as a backup,
// which can take hours. RemoveUnneeded retries.
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

// appendRow appends the record's row as COPY data. The error says why a record does not fit.
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

// naming replaces the holding table's name in a message with the mapped table's.
func (m *mappedRows) naming(message string) string {
	if m == nil {
		return message
	}
	return strings.ReplaceAll(message, pq.QuoteIdentifier(m.name), pq.QuoteIdentifier(m.Table.Name))
}

// refuses reports whether the table refused a row's content: by a constraint of its own or of
// a domain, or in a function of a constraint.
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
