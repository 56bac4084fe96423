// Package schematest gives tests databases with the schema scrapehaul.
package schematest

import (
	"context"
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
)

// NewDatabase is [postgrestest.NewDatabase] with the schema.
func NewDatabase(t testing.TB) (databaseURL string) {
	t.Helper()
	return postgrestest.NewCopy(t, "migrated", Migrate)
}

// Migrate migrates the database to the present version of the schema.
func Migrate(databaseURL string) error {
	db, err := postgres.Open(databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = postgres.Migrate(context.Background(), db)
	return err
}
