package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Migrate migrates schema scrapehaul to the version this code needs, and returns that version.
// Any number of processes may call it concurrently: an advisory lock lets one migrate while the
// others wait. After 5 seconds of waiting it calls report with a sentence that names the lock's
// holder; after two minutes it returns that as an error.
//
// The role needs CREATE on the database, or must own an existing schema scrapehaul, and schemas
// sitemaps and sitemaps_latest for the sitemap views. The database's encoding must be UTF8. A
// connection pooler must keep each session on one connection.
func Migrate(ctx context.Context, db *sqlx.DB, report ...func(sentence string)) (version int64, err error) {
	if err := checkEncoding(ctx, db); err != nil {
		return 0, err
	}
	if err := checkPooling(ctx, db); err != nil {
		return 0, err
	}
	// A dedicated connection: it holds the lock until it is closed.
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

// createSchemas creates missing schemas. CREATE SCHEMA IF NOT EXISTS would need the CREATE
// privilege even for schemas that an administrator has created. Without schemas sitemaps and
// sitemaps_latest there are no sitemap views, and everything else works.
func createSchemas(ctx context.Context, conn *sqlx.Conn) error {
	var missing []string
	if err := conn.SelectContext(ctx, &missing, missingSchemas); err != nil {
		return fmt.Errorf("checking the schemas: %w", err)
	}
	for _, schema := range missing {
		if _, err := conn.ExecContext(ctx, `CREATE SCHEMA `+schema); err != nil {
			return fmt.Errorf("creating schema %s: %w", schema, err)
		}
	}
	return nil
}

// CheckSchema returns an error that says what to do unless the database has the schema version
// that this code needs, or a later one.
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
		return errors.New(`schema scrapehaul does not exist yet: start a worker, or run "worker migrate"`)
	case version < want:
		return fmt.Errorf(`schema scrapehaul is at version %d of %d: start a worker, or run "worker migrate"`, version, want)
	}
	return nil
}

const selectSchemaVersion = `
SELECT coalesce(max(version_id), 0) FROM scrapehaul.goose_db_version WHERE is_applied`

func isMigrated(ctx context.Context, db sqlx.QueryerContext) (migrated bool, err error) {
	err = sqlx.GetContext(ctx, db, &migrated, `SELECT to_regclass('scrapehaul.goose_db_version') IS NOT NULL`)
	return migrated, doing(err, "checking the version of schema scrapehaul")
}

// schemaVersion returns 0 before the first migration.
func schemaVersion(ctx context.Context, db sqlx.QueryerContext) (version int64, err error) {
	if migrated, err := isMigrated(ctx, db); err != nil || !migrated {
		return 0, err
	}
	err = sqlx.GetContext(ctx, db, &version, selectSchemaVersion)
	return version, doing(err, "reading the version of schema scrapehaul")
}

// checkEncoding makes sure that PostgreSQL can validate and store every character.
func checkEncoding(ctx context.Context, db *sqlx.DB) error {
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	var encoding string
	if err := db.GetContext(ctx, &encoding, `SELECT getdatabaseencoding()`); err != nil {
		return fmt.Errorf("checking the database's encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, which cannot store every record: create one with createdb --encoding=UTF8 --template=template0", encoding)
	}
	return nil
}
