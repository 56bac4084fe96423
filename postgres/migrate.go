package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Migrate brings schema scrapehaul of the database to the version this code
// needs and returns that version. Any number of processes may call it at the
// same time: an advisory lock lets one of them work while the others wait.
// When that takes more than some seconds, report is called with a sentence that
// says who holds the lock, and after two minutes Migrate returns it as an error.
// The role needs CREATE on the database,
// or a schema scrapehaul of its own made beforehand, and schemas sitemaps and
// sitemaps_latest if there are to be views of sitemaps. The database's encoding has
// to be UTF8, and a pooler in between has to keep a session on one connection.
func Migrate(ctx context.Context, db *sqlx.DB, report ...func(sentence string)) (version int64, err error) {
	if err := checkEncoding(ctx, db); err != nil {
		return 0, err
	}
	if err := checkPooling(ctx, db); err != nil {
		return 0, err
	}
	// A connection of its own: the lock belongs to it until it is closed.
	lock, err := db.Connx(ctx)
	if err != nil {
		return 0, fmt.Errorf("connecting to migrate the database: %w", err)
	}
	defer func() { err = errors.Join(err, discard(lock)) }()
	if err := waitForMigrationLock(ctx, lock, report); err != nil {
		return 0, err
	}
	if err := createSchemas(ctx, lock); err != nil {
		return 0, err
	}
	if err := applyMigrations(ctx, lock); err != nil {
		return 0, err
	}
	return schemaVersion(ctx, lock)
}

const missingSchemas = `
SELECT 'scrapehaul' WHERE to_regnamespace('scrapehaul') IS NULL
UNION ALL SELECT name FROM unnest(ARRAY['sitemaps', 'sitemaps_latest']) AS name
WHERE to_regnamespace(name) IS NULL AND has_database_privilege(current_database(), 'CREATE')`

// createSchemas makes the schemas that are missing. CREATE SCHEMA IF NOT EXISTS
// would ask for the right to create also when they are there, made beforehand by
// an administrator. Without schemas sitemaps and sitemaps_latest there are no views of
// sitemaps, and all else works.
func createSchemas(ctx context.Context, conn *sqlx.Conn) error {
	var missing []string
	if err := conn.SelectContext(ctx, &missing, missingSchemas); err != nil {
		return fmt.Errorf("looking for the schemas: %w", err)
	}
	for _, schema := range missing {
		if _, err := conn.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
			return fmt.Errorf("creating schema %s: %w", schema, err)
		}
	}
	return nil
}

// CheckSchema returns an error that says what to do when [Migrate] of this
// version has not been applied to the database.
func CheckSchema(ctx context.Context, db *sqlx.DB) error {
	if err := checkEncoding(ctx, db); err != nil {
		return err
	}
	want, err := wantedVersion()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db)
	switch {
	case err != nil:
		return err
	case version == 0:
		return errors.New(`schema scrapehaul is not there yet: start a worker, or run "worker migrate"`)
	case version < want:
		return fmt.Errorf(`schema scrapehaul is at version %d of %d: start a worker, or run "worker migrate"`, version, want)
	}
	return nil
}

const selectSchemaVersion = `
SELECT coalesce(max(version_id), 0) FROM scrapehaul.goose_db_version WHERE is_applied`

func isMigrated(ctx context.Context, db sqlx.QueryerContext) (migrated bool, err error) {
	err = sqlx.GetContext(ctx, db, &migrated, `SELECT to_regclass('scrapehaul.goose_db_version') IS NOT NULL`)
	return migrated, doing(err, "looking for the version of schema scrapehaul")
}

// schemaVersion is 0 when nothing has been migrated yet.
func schemaVersion(ctx context.Context, db sqlx.QueryerContext) (version int64, err error) {
	if migrated, err := isMigrated(ctx, db); err != nil || !migrated {
		return 0, err
	}
	err = sqlx.GetContext(ctx, db, &version, selectSchemaVersion)
	return version, doing(err, "reading the version of schema scrapehaul")
}

// checkEncoding makes sure that PostgreSQL checks and keeps every character.
func checkEncoding(ctx context.Context, db *sqlx.DB) error {
	var encoding string
	if err := db.GetContext(ctx, &encoding, `SELECT getdatabaseencoding()`); err != nil {
		return fmt.Errorf("asking for the database's encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, which cannot hold every record: make one with createdb --encoding=UTF8 --template=template0", encoding)
	}
	return nil
}
