package postgres_test

import (
	"os"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// publishedBefore is a published import as the first version of the schema has it.
const publishedBefore = `
INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, sitemap_id, sitemap_name, custom_id, status,
    jobs_scheduled, jobs_executed, jobs_failed, jobs_empty, jobs_no_value, stored_record_count, published_at)
VALUES (1234, 12, 'my-sitemap', 'custom-12', 'finished', 3, 3, 0, 0, 0, 2, now());
INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, state, bytes, sha256,
    committed_bytes, last_record_number, records, rejected, published_at)
VALUES (1234, 'run', 1, '2026-01-01 00:00:01Z', 'published', 3, 'abc', 3, 3, 2, 1, now());
UPDATE scrapehaul.scraping_jobs SET published_import_id = (SELECT import_id FROM scrapehaul.imports);
INSERT INTO scrapehaul.import_records (import_id, record_number, data)
SELECT import_id, number, '{"product":"IdeaTab A3500L"}' FROM scrapehaul.imports, generate_series(1, 2) AS number;
INSERT INTO scrapehaul.rejected_records (import_id, record_number, raw, reason)
SELECT import_id, 3, '{', 'cut off' FROM scrapehaul.imports;`

func TestADatabaseOfTheFirstVersionMigratesWithItsRecords(t *testing.T) {
	db := connect(t, postgrestest.NewDatabase(t))
	db.MustExec(`CREATE SCHEMA scrapehaul`)
	migrations, err := goose.NewProvider(goose.DialectPostgres, db.DB, os.DirFS("migrations"),
		goose.WithTableName("scrapehaul.goose_db_version"), goose.WithDisableGlobalRegistry(true))
	require.NoError(t, err)
	_, err = migrations.UpTo(t.Context(), 1)
	require.NoError(t, err)
	db.MustExec(publishedBefore)

	version, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	require.GreaterOrEqual(t, version, int64(2))
	store := postgres.NewStore(db)
	published, err := store.PublishedImports(t.Context(), []int64{jobID})
	require.NoError(t, err)
	before := published[jobID]
	require.Equal(t, job(2), before.ScrapingJob)
	require.Equal(t, int64(2), count(t, db, visible))
	counts, isPublished, err := store.CountPublished(t.Context(), jobID, before.ImportID)
	require.NoError(t, err)
	require.True(t, isPublished)
	require.Equal(t, sink.Counts{Records: 2, Rejected: 1}, counts)
	require.True(t, begin(t, store, request(1, 3)).Published(), "a retry still knows that it is done")

	next := begin(t, store, request(2, 5))
	require.NoError(t, commit(t, next, 1, 5, plain))
	require.NoError(t, next.Publish(t.Context(), func() {}))
	require.Equal(t, int64(5), count(t, db, visible))
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.Equal(t, int64(5), count(t, db, `SELECT count(*) FROM scrapehaul.import_records`))
}
