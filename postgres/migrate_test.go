package postgres_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// readable is a record as readers see it.
type readable struct {
	ScrapingJobID   int64     `db:"scrapingjob_id"`
	SitemapID       int64     `db:"sitemap_id"`
	SitemapName     string    `db:"sitemap_name"`
	CustomID        *string   `db:"custom_id"`
	RecordNumber    int64     `db:"record_number"`
	WebScraperOrder *string   `db:"web_scraper_order"`
	Data            string    `db:"data"`
	ImportedAt      time.Time `db:"imported_at"`
}

func readAll(t *testing.T, db *sqlx.DB) (records []readable) {
	t.Helper()
	require.NoError(t, db.Select(&records, `
		SELECT scrapingjob_id, sitemap_id, sitemap_name, custom_id, record_number, web_scraper_order, data, imported_at
		FROM scrapehaul.scraped_records ORDER BY scrapingjob_id, record_number`))
	return records
}

// Each subtest is a version of the schema, or the present one filled now.
func TestDatabasesOfAllVersionsMigrateWithTheirData(t *testing.T) {
	t.Parallel()
	present := filledDatabase(t)
	t.Run("present", func(t *testing.T) { requireInOrder(t, connect(t, present)) })
	migrations, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	for _, file := range dumps(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			db := restoredDatabase(t, file)
			before := readAll(t, db)
			version, err := postgres.Migrate(t.Context(), db)
			require.NoError(t, err)
			require.Equal(t, int64(len(migrations)), version)
			require.NoError(t, postgres.CheckSchema(t.Context(), db))
			require.Equal(t, before, readAll(t, db), "readers see the same records")
			requireInOrder(t, db)
		})
	}
}

// requireInOrder requires that the jobs of filledDatabase are unchanged and that work resumes
// where it was left.
func requireInOrder(t *testing.T, db *sqlx.DB) {
	t.Helper()
	store := postgres.NewStore(db, nil)
	require.Equal(t, int64(5+3+2), count(t, db, visible+` WHERE scrapingjob_id NOT IN ($1, $2)`, skippedJob, partJob))

	published, err := store.PublishedImports(t.Context(), []int64{replacedJob, rejectedJob, unfinishedJob, deletedJob, abandonedJob})
	require.NoError(t, err)
	require.Len(t, published, 3)
	require.Equal(t, jobOf(replacedJob, 5), published[replacedJob].ScrapingJob)
	require.NotNil(t, published[deletedJob].CloudDeletedAt)
	counts, isPublished, err := store.CountPublished(t.Context(), rejectedJob, published[rejectedJob].ImportID)
	require.NoError(t, err)
	require.True(t, isPublished)
	require.Equal(t, sink.Counts{Records: 3, Rejected: 1}, counts)
	require.True(t, begin(t, store, requestOf(replacedJob, 2, 5)).Published(), "a retry still finds it published")
	_, err = store.BeginImport(t.Context(), requestOf(replacedJob, 1, 4))
	require.ErrorIs(t, err, sink.ErrSuperseded)

	resumed := begin(t, store, requestOf(unfinishedJob, 1, 7))
	require.Equal(t, sink.Checkpoint{Bytes: 4, LastRecordNumber: 4, Counts: sink.Counts{Records: 4}}, resumed.Checkpoint(), "it resumes")
	require.NoError(t, commit(t, resumed, 5, 7, plain))
	require.NoError(t, resumed.Publish(t.Context(), func() {}))
	require.Equal(t, int64(7), count(t, db, visible+` WHERE scrapingjob_id = $1`, unfinishedJob))
	require.Equal(t, int64(5+2+7), count(t, db, `SELECT count(*) FROM sitemaps."my-sitemap" WHERE product = 'IdeaTab A3500L'`),
		"the view has earlier jobs")

	unneeded, err := store.JobsWithUnneededRecords(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int64{replacedJob, abandonedJob}, unneeded)
	for _, id := range unneeded {
		require.NoError(t, store.RemoveUnneeded(t.Context(), id, func(int64) {}))
	}
	require.Equal(t, count(t, db, visible), count(t, db, `SELECT count(*) FROM scrapehaul.import_records`))

	next := begin(t, store, requestOf(abandonedJob, 2, 9))
	require.NoError(t, commit(t, next, 1, 9, plain))
	require.NoError(t, next.Publish(t.Context(), func() {}))
	require.Equal(t, int64(9), count(t, db, visible+` WHERE scrapingjob_id = $1`, abandonedJob))
	abandoned, err := store.AbandonedJobs(t.Context(), []int64{abandonedJob})
	require.NoError(t, err)
	require.Empty(t, abandoned, "a published job is no longer abandoned")

	history, err := store.History(t.Context(), postgres.HistoryQuery{ScrapingJobID: abandonedJob, Limit: 100})
	require.NoError(t, err)
	require.Len(t, history, 2)
}

func TestCheckSchemaReportsAMissingSchema(t *testing.T) {
	t.Parallel()
	db := connect(t, postgrestest.NewDatabase(t))
	require.ErrorContains(t, postgres.CheckSchema(t.Context(), db), `schema scrapehaul does not exist yet: start a worker, or run "worker migrate"`)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	require.NoError(t, postgres.CheckSchema(t.Context(), db))
}

// As after a rollback, and while workers are replaced.
func TestAProgramWorksWithALaterSchema(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`INSERT INTO scrapehaul.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	version, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, int64(99), version)
	require.NoError(t, postgres.CheckSchema(t.Context(), db))
}

func TestDatabasesKeepAbandonedJobsAndSpools(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			store := postgres.NewStore(db, nil)
			abandoned, err := store.AbandonedJobs(t.Context(), []int64{replacedJob, abandonedJob})
			require.NoError(t, err)
			require.Len(t, abandoned, 1)
			require.Equal(t, int64(9), abandoned[abandonedJob].StoredRecordCount)
			require.Equal(t, []string{"scrapingjob-import@7c3a"}, spoolTaskQueues(t, store, "scrapingjob-import@"))
		})
	}
}

func TestDatabasesKeepSkippedRecords(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			published, err := postgres.NewStore(db, nil).PublishedImports(t.Context(), []int64{skippedJob})
			require.NoError(t, err)
			require.Equal(t, sink.Counts{Records: 2, Skipped: 1}, published[skippedJob].Counts)
			require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.skipped_records WHERE import_id = $1 AND reason = 'sold out'`,
				published[skippedJob].ImportID))
		})
	}
}

func TestDatabasesKeepPartialRecords(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		if name == "version-1.sql" { // has none
			continue
		}
		t.Run(name, func(t *testing.T) {
			published, err := postgres.NewStore(db, nil).PublishedImports(t.Context(), []int64{partJob})
			require.NoError(t, err)
			require.Equal(t, sink.Counts{Records: 2, Rejected: 1, Unmapped: 1, Cut: 1}, published[partJob].Counts)
			require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.unmapped_records WHERE import_id = $1 AND reason LIKE 'column "price"%'`,
				published[partJob].ImportID))
		})
	}
}

func TestMigrationFindsRecordsCutByTheFirstVersion(t *testing.T) {
	t.Parallel()
	db := restoredDatabase(t, "testdata/databases/version-1.sql")
	db.MustExec(`
		INSERT INTO scrapehaul.rejected_records (import_id, record_number, raw, reason)
		SELECT published_import_id, 5, convert_to(repeat('x', 65536), 'UTF8'), '70000 bytes long, over the limit of 1000 (MAX_RECORD_BYTES)'
		FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1`, rejectedJob)
	db.MustExec(`UPDATE scrapehaul.imports SET rejected = 2 WHERE scrapingjob_id = $1`, rejectedJob)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	store := postgres.NewStore(db, nil)
	published, err := store.PublishedImports(t.Context(), []int64{rejectedJob})
	require.NoError(t, err)
	require.Equal(t, sink.Counts{Records: 3, Rejected: 2, Cut: 1}, published[rejectedJob].Counts)
	counted, _, err := store.CountPublished(t.Context(), rejectedJob, published[rejectedJob].ImportID)
	require.NoError(t, err)
	require.Equal(t, published[rejectedJob].Counts, counted)
}

// Early versions announced nothing and recorded less.
func TestDatabasesKeepPublications(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			store := postgres.NewStore(db, nil)
			published, err := store.PublishedImports(t.Context(), []int64{replacedJob, rejectedJob})
			require.NoError(t, err)
			phones, err := store.Publication(t.Context(), published[rejectedJob].ImportID)
			require.NoError(t, err)
			require.Equal(t, &sink.Publication{
				ScrapingJobID: rejectedJob, Account: sink.DefaultAccount, SitemapID: 13, SitemapName: "phones", Status: "finished", ImportID: phones.ImportID, Kind: sink.FirstImport,
				Counts: sink.Counts{Records: 3, Rejected: 1}, Columns: []string{"web_scraper_order", "name"}, PublishedAt: phones.PublishedAt,
			}, phones)
			require.False(t, published[rejectedJob].Unannounced)
			next, err := store.NextUndelivered(t.Context(), sink.DefaultAccount, "my-sitemap")
			require.NoError(t, err)
			if slices.Contains([]string{"version-1.sql", "version-2.sql", "version-3.sql"}, name) {
				require.Nil(t, next)
				return
			}
			require.True(t, published[replacedJob].Unannounced)
			require.Equal(t, sink.Reimport, next.Kind)
			require.Equal(t, published[replacedJob].ImportID, next.ImportID)
		})
	}
}

func TestDatabasesKeepProblemsOfPublishing(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		t.Run(name, func(t *testing.T) {
			attempt := begin(t, postgres.NewStore(db, nil), hookedRequest())
			require.True(t, attempt.Published())
			require.Equal(t, `making view sitemaps."hooked": "hooked" is not a view`, attempt.Problem())
		})
	}
}

// The first versions did not record which columns had values, so nothing is withheld there.
func TestDatabasesKeepCountsOfMappedValues(t *testing.T) {
	t.Parallel()
	for name, db := range databases(t) {
		if name == "version-1.sql" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			known := count(t, db, `SELECT count(*) FROM scrapehaul.imports WHERE mapped_values = '{"url": 1, "price": 1, "in Stock": 1}' AND scrapingjob_id = $1`, partJob)
			_, withheld := tryPublished(t, mapped(t, db, replaceJob), 2000, times(3, `{"url":"%d","stock":"7"}`))
			require.Equal(t, known == 1, withheld != nil)
			require.Equal(t, name != "version-2.sql", withheld != nil)
		})
	}
}

// Earlier views lack the time a record was scraped, still earlier ones the account; the first
// ones unpack a record for each column.
func TestViewsOfEarlierVersionsAreReplacedInPlace(t *testing.T) {
	t.Parallel()
	for _, file := range dumps(t) {
		if filepath.Base(file) == "version-10.sql" { // has today's views
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			db := restoredDatabase(t, file)
			definitions := func(form string) int64 {
				return count(t, db, `SELECT count(*) FROM pg_views WHERE schemaname = 'sitemaps' AND definition LIKE '%' || $1 || '%'`, form)
			}
			all := definitions("")
			grown := func(present []string, more ...string) []string {
				for _, fact := range []string{"account", "time_created", "scraping_duration"} {
					if !slices.Contains(present, fact) {
						present = append(present, fact)
					}
				}
				return append(present, more...)
			}
			phonesHad, othersHad := columns(t, db, "phones"), columns(t, db, "my-sitemap")
			require.GreaterOrEqual(t, all, int64(2))
			db.MustExec(`CREATE VIEW cheap AS SELECT product, price FROM sitemaps."my-sitemap" WHERE price = '$88.99';
				CREATE VIEW named AS SELECT * FROM sitemaps.phones;
				GRANT SELECT ON sitemaps.phones TO PUBLIC`)
			const read = `SELECT product, price FROM cheap UNION ALL SELECT name, web_scraper_order FROM named ORDER BY 1, 2`
			const privileges = `SELECT relacl FROM pg_class WHERE oid = 'sitemaps.phones'::regclass`
			records, granted := rows(t, db, read), rows(t, db, privileges)
			require.NotEmpty(t, records)
			_, err := postgres.Migrate(t.Context(), db)
			require.NoError(t, err)
			require.Equal(t, records, rows(t, db, read))
			require.Zero(t, definitions("job.time_created"))

			store := postgres.NewStore(db, nil)
			published(t, store, 4321, "phones", `{"name":"Nokia 124","account":"of the shop","color":"red"}`)
			require.Equal(t, int64(1), definitions("job.time_created"), "by the next import")
			require.Equal(t, grown(phonesHad, "account_2", "color"), columns(t, db, "phones"))
			require.Equal(t, []string{"default|of the shop|red"}, rows(t, db, `SELECT account, account_2, color FROM sitemaps.phones WHERE scrapingjob_id = 4321`))
			problems, err := store.RefreshSitemapViews(t.Context(), func() {})
			require.NoError(t, err)
			require.Empty(t, problems)
			require.Equal(t, definitions(""), definitions("job.time_created"), "by reconciliation")
			require.Equal(t, grown(othersHad), columns(t, db, "my-sitemap"))
			require.Equal(t, definitions(""), count(t, db, `SELECT count(*) FROM pg_views WHERE schemaname = 'sitemaps_latest'`))
			require.Zero(t, definitions("record.data ->>"))
			require.Equal(t, definitions(""), definitions("clock_timestamp"))
			require.Subset(t, rows(t, db, read), records)
			require.Equal(t, granted, rows(t, db, privileges))

			phones := count(t, db, `SELECT count(*) FROM sitemaps.phones`)
			published(t, store, 4322, "acme:phones", `{"name":"Nokia 125"}`)
			require.Equal(t, []string{"acme|Nokia 125"}, rows(t, db, `SELECT account, name FROM sitemaps."acme:phones"`))
			require.Equal(t, phones, count(t, db, `SELECT count(*) FROM sitemaps.phones WHERE account = 'default'`))
			require.Equal(t, count(t, db, visible)-1, count(t, db, visible+` WHERE account = 'default'`))
		})
	}
}

func TestAColumnOfAnEarlierViewKeepsTheNameAccount(t *testing.T) {
	t.Parallel()
	db := restoredDatabase(t, "testdata/databases/version-5.sql")
	db.MustExec(`ALTER VIEW sitemaps.phones RENAME COLUMN name TO account;
		UPDATE scrapehaul.sitemap_views SET column_names = '{web_scraper_order,account}' WHERE sitemap_name = 'phones'`)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	published(t, postgres.NewStore(db, nil), 4321, "phones", `{"name":"Nokia 124","color":"red"}`)
	require.Equal(t, []string{"web_scraper_order", "account", "account_2", "time_created", "scraping_duration", "color"}, columns(t, db, "phones")[3:])
	require.Equal(t, []string{"Nokia 124|default"}, rows(t, db, `SELECT account, account_2 FROM sitemaps.phones WHERE scrapingjob_id = 4321`))
}

const hasLZ4 = `SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))`

func TestRecordsAreCompressedWithLZ4WhereTheServerHasIt(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "my-sitemap", `{"text":"`+strings.Repeat("a long text ", 1000)+`"}`)
	if rows(t, db, hasLZ4)[0] == "true" {
		require.Equal(t, []string{"lz4"}, rows(t, db, `SELECT pg_column_compression(data) FROM scrapehaul.import_records`))
		require.Equal(t, []string{"import_records.data", "rejected_records.raw", "skipped_records.raw"},
			rows(t, db, `SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE attcompression = 'l' ORDER BY 1`))
	}
	require.Equal(t, []string{"12000"}, rows(t, db, `SELECT length(text) FROM sitemaps."my-sitemap"`))
}

func TestAMigrationDoesNotBlockReaders(t *testing.T) {
	t.Parallel()
	for file, table := range map[string]string{"version-2.sql": "import_records", "version-5.sql": "scraping_jobs"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			db := restoredDatabase(t, "testdata/databases/"+file)
			if table == "import_records" && rows(t, db, hasLZ4)[0] == "false" {
				t.Skip("PostgreSQL without lz4: the migration does not wait")
			}
			reader, err := db.Beginx()
			require.NoError(t, err)
			defer func() { _ = reader.Rollback() }()
			_, err = reader.Exec(`SELECT * FROM sitemaps.phones`)
			require.NoError(t, err)

			migrated := make(chan error, 1)
			go func() {
				_, err := postgres.Migrate(t.Context(), db)
				migrated <- err
			}()
			waits := func() bool {
				return count(t, db, `SELECT count(*) FROM pg_locks WHERE relation = ('scrapehaul.' || $1)::regclass AND NOT granted AND mode = 'AccessExclusiveLock'`, table) > 0
			}
			require.Eventually(t, waits, time.Minute, 10*time.Millisecond)
			require.Equal(t, []string{"3"}, rows(t, db, `SELECT count(*) FROM sitemaps.phones`), "while the first reader continues")
			require.Empty(t, migrated)
			require.NoError(t, reader.Rollback())
			require.NoError(t, <-migrated)
		})
	}
}
