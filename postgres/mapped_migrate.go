package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// MappedTableChange is a planned or completed migration of a mapped table.
type MappedTableChange struct {
	Table mapping.Table
	// Differences has a sentence for each difference between the file and the mapping that
	// the table was created for or last migrated to.
	Differences []string
	// SQL has the statements, which work on filled tables. Some are only comments.
	SQL []string

	isNew bool
}

// MigrateMappedTables migrates the tables to their mappings in one transaction, and returns a
// change for each table, without SQL and differences if it was up to date. From then on,
// workers with another file publish nothing into the tables. It waits for imports that are
// being published. If it fails, no table has changed, but a backfill may map records again
// whose rows are up to date. A dry run changes nothing.
func MigrateMappedTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings, dryRun bool) (changes []MappedTableChange, err error) {
	s := &Store{db: db}
	if changes, err = s.migrateMappedTables(ctx, mappings, true); err != nil || dryRun {
		return changes, err
	}
	for _, change := range changes {
		if !change.isNew && len(change.SQL)+len(change.Differences) > 0 {
			if err := s.forgetMapping(ctx, change.Table); err != nil {
				return nil, doing(err, "recording that table %s needs a backfill", change.Table)
			}
		}
	}
	return s.migrateMappedTables(ctx, mappings, false)
}

// After a migration an import's recorded mapping no longer describes its rows: when going back
// to an earlier mapping, a column may be a new, empty one of the same name.
const (
	selectIntoTable = `SELECT import_id FROM scrapehaul.imports WHERE state = 'published' AND mapping <> '' AND right(mapping, -17) IN ('', $1) ORDER BY import_id`
	forgetMapping   = `UPDATE scrapehaul.imports SET mapping = overlay(mapping PLACING repeat('-', 16) FROM 1) WHERE import_id = $1 AND state = 'published'`
)

// forgetMapping locks one import at a time, because an import that waits to publish into a
// table holds the lock of its own row.
func (s *Store) forgetMapping(ctx context.Context, table mapping.Table) error {
	var imports []int64
	err := s.db.SelectContext(ctx, &imports, selectIntoTable, table.String())
	for _, id := range imports {
		if err == nil {
			_, err = s.exec(ctx, forgetMapping, id)
		}
	}
	return err
}

func (s *Store) migrateMappedTables(ctx context.Context, mappings *mapping.Mappings, dryRun bool) (changes []MappedTableChange, err error) {
	err = s.inTx(ctx, func(tx transaction) error {
		tx.progress = func() {}
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		// All locks first: a changed table blocks its readers.
		for _, m := range mappings.All() {
			if dryRun {
				break
			}
			if err := (&mappedRows{Mapping: m}).lock(ctx, tx); err != nil {
				return err
			}
		}
		seen := map[mapping.Table]bool{}
		for _, m := range mappings.All() {
			if seen[m.Table] {
				continue // all mappings of a table agree
			}
			seen[m.Table] = true
			change, err := wantedChange(ctx, tx, m)
			if err == nil && !dryRun {
				err = migrateTable(ctx, tx, m, &change)
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
	exists, err := isTable(ctx, tx, m.Table)
	change.Table, change.isNew = m.Table, !exists
	if err != nil {
		return change, err
	}
	if change.isNew {
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
	if err == nil && len(change.SQL)+len(change.Differences) > 0 {
		change.SQL, err = addRowsOnly(ctx, tx, m, change.SQL)
	}
	return change, err
}

// Waiting for a table lock blocks the table's readers.
const waitBriefly = `SELECT set_config('lock_timeout', '10s', true)`

func migrateTable(ctx context.Context, tx transaction, m *mapping.Mapping, change *MappedTableChange) error {
	err := (&mappedRows{Mapping: m}).lock(ctx, tx)
	if err == nil {
		_, err = tx.ExecContext(ctx, waitBriefly)
	}
	if err == nil {
		err = run(ctx, tx, change.SQL)
	}
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.LockNotAvailable {
		err = fmt.Errorf("another session has kept it locked for 10 s (see pg_stat_activity); try again: %w", err)
	}
	if err != nil {
		return err
	}
	further, err := missingInTable(ctx, tx, m) // a new table may lack its replica identity
	if err == nil {
		err = run(ctx, tx, further)
	}
	if err == nil && change.isNew {
		_, err = tx.ExecContext(ctx, forgetRows, m.Table.String())
	}
	if err == nil {
		err = noteShape(ctx, tx, m)
	}
	change.SQL = append(change.SQL, further...)
	return err
}
