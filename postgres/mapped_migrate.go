package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// MappedTableChange is what is to be done with a table, or was, so that it is as its
// mapping wants it.
type MappedTableChange struct {
	Table mapping.Table
	// Differences are those between the file and the mapping that the table was made for,
	// or migrated to last, each in a sentence.
	Differences []string
	// SQL are the statements, which work on filled tables; some are comments only.
	SQL []string
}

// CheckMappedTables returns a change for each table of the mappings, which has no SQL and
// no differences where the table is as its mapping wants it. It changes nothing.
func CheckMappedTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings) ([]MappedTableChange, error) {
	return changeTables(ctx, db, mappings, func(context.Context, transaction, *mapping.Mapping, *MappedTableChange) error { return nil })
}

// MigrateMappedTables makes the tables as their mappings want them, in one transaction, and
// returns what it has done. Workers that have another file publish nothing into them from
// then on. It waits for imports that are being published.
func MigrateMappedTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings) ([]MappedTableChange, error) {
	return changeTables(ctx, db, mappings, migrateTable)
}

func changeTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings,
	each func(context.Context, transaction, *mapping.Mapping, *MappedTableChange) error,
) (changes []MappedTableChange, err error) {
	err = (&Store{db: db}).inTx(ctx, func(tx transaction) error {
		tx.progress = func() {}
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		seen := map[mapping.Table]bool{}
		for _, m := range mappings.All() {
			if seen[m.Table] {
				continue // they agree in what the table has
			}
			seen[m.Table] = true
			change, err := wantedChange(ctx, tx, m)
			if err == nil {
				err = each(ctx, tx, m, &change)
			}
			if err != nil {
				return &MappedTableError{Table: m.Table, Err: err}
			}
			changes = append(changes, change)
		}
		return nil
	})
	return changes, err
}

func wantedChange(ctx context.Context, tx transaction, m *mapping.Mapping) (change MappedTableChange, err error) {
	change.Table = m.Table
	there, err := isTable(ctx, tx, m.Table)
	if err != nil {
		return change, err
	}
	if !there {
		var schema bool
		err = tx.GetContext(ctx, &schema, `SELECT to_regnamespace(quote_ident($1)) IS NOT NULL`, m.Table.Schema)
		if !schema {
			change.SQL = append(change.SQL, createSchema(m.Table))
		}
		change.SQL = append(change.SQL, createTable(m)...)
		return change, err
	}
	noted, err := notedShape(ctx, tx, m.Table)
	if noted != nil {
		change.Differences = noted.differences(shapeOf(m))
	}
	if err == nil {
		change.SQL, err = alterations(ctx, tx, m, noted)
	}
	return change, err
}

// Whoever waits for a table keeps its readers waiting: so not for long.
const waitBriefly = `SELECT set_config('lock_timeout', '10s', true)`

func migrateTable(ctx context.Context, tx transaction, m *mapping.Mapping, change *MappedTableChange) error {
	of := &mappedRows{Mapping: m}
	if err := of.lock(ctx, tx); err != nil {
		return err
	}
	there, err := isTable(ctx, tx, m.Table)
	if err == nil {
		_, err = tx.ExecContext(ctx, waitBriefly)
	}
	if err == nil {
		err = run(ctx, tx, change.SQL)
	}
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.LockNotAvailable {
		err = fmt.Errorf("somebody has it in use for more than 10 s (pg_stat_activity says who), try again: %w", err)
	}
	if err != nil {
		return err
	}
	further, err := missingInTable(ctx, tx, m) // of a table that was made: how its rows are identified
	if err == nil {
		err = run(ctx, tx, further)
	}
	change.SQL = append(change.SQL, further...)
	switch {
	case err != nil:
		return err
	case there:
		return noteShape(ctx, tx, m)
	default:
		return noteNew(ctx, tx, m)
	}
}

// setRequired has PostgreSQL refuse NULL in required columns, once no row has it there. It
// is no import's need: where the table is in use, or another role's, it stays undone.
func (m *mappedRows) setRequired(ctx context.Context, tx transaction) error {
	var found []tableColumn
	if err := tx.SelectContext(ctx, &found, selectTableColumns, m.table()); err != nil {
		return err
	}
	for _, c := range found {
		if c.NotNull || !shapeOf(m.Mapping).column(c.Name).Required {
			continue
		}
		name := pq.QuoteIdentifier(c.Name)
		var empty bool
		err := tx.GetContext(ctx, &empty, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s WHERE %s IS NULL)", m.table(), name))
		if err == nil && !empty {
			_, err = tx.ExecContext(ctx, `SAVEPOINT required; `+waitForReaders)
			if err == nil {
				_, err = tx.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s ALTER %s SET NOT NULL", m.table(), name))
			}
			if pq.As(err) != nil {
				_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT required`)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
