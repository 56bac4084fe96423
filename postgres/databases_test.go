package postgres_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// The databases in testdata/databases were filled by merged code, one for each version of
// the schema. Each was written by
//
//	go test ./postgres -run TestDatabasesOfAllVersions -dump testdata/databases/version-N.sql
//
// at the last commit with that version. Never rewrite one to make a test pass.
var dump = flag.String("dump", "", "write the database that the tests fill to this `file` with pg_dump; only from merged code")

// Scraping jobs of a database that has been in use.
const (
	replacedJob   = 1234 // 5 records published, unannounced and undelivered; the 3 replaced ones wait for removal
	rejectedJob   = 1235 // another sitemap: 3 records published, 1 rejected
	unfinishedJob = 1236 // 4 records of 7 committed
	deletedJob    = 1237 // 2 records published, deleted in the cloud
	abandonedJob  = 1238 // 2 records committed, then abandoned by an operator
	skippedJob    = 1239 // its own sitemap, without a view: 2 records published, 1 skipped
	partJob       = 1240 // mapped sitemap: 2 records published, 1 of them without a row; 1 rejected and cut
)

func requestOf(scrapingJobID int64, pass int, bytes int64) sink.ImportRequest {
	r := request(pass, bytes)
	r.Job.ScrapingJobID = scrapingJobID
	return r
}

func hookedRequest() sink.ImportRequest { return ofSitemap("hooked", requestOf(skippedJob, 1, 3)) }

func jobOf(scrapingJobID, records int64) sink.ScrapingJob {
	j := job(records)
	j.ScrapingJobID = scrapingJobID
	return j
}

// filledDatabase returns the URL of a database that has been in use.
func filledDatabase(t *testing.T) (url string) {
	t.Helper()
	url = schematest.NewDatabase(t)
	db := connect(t, url)
	store := postgres.NewStore(db, nil)
	publish := func(attempt sink.Import) {
		t.Helper()
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
	}

	first := begin(t, store, requestOf(replacedJob, 1, 3))
	require.NoError(t, commit(t, first, 1, 3, plain))
	publish(first)
	again := requestOf(replacedJob, 2, 5)
	again.Announce = true
	second := begin(t, store, again)
	require.NoError(t, commit(t, second, 1, 2, plain))
	require.NoError(t, commit(t, second, 3, 5, `{"web_scraper_order":"1614248295-%d","product":"IdeaTab A3500L","price":"$88.99"}`))
	publish(second)
	publication, err := store.Publication(t.Context(), second.ID())
	require.NoError(t, err)
	require.NoError(t, store.AddUndelivered(t.Context(), *publication))

	phones := requestOf(rejectedJob, 1, 4)
	phones.Job.SitemapID, phones.Job.SitemapName, phones.Job.CustomID = 13, "phones", ""
	rejected := begin(t, store, phones)
	require.NoError(t, commit(t, rejected, 1, 3, `{"web-scraper-order":"1614248296-%d","name":"Nokia 123"}`))
	require.NoError(t, commit(t, rejected, 4, 4, `{"name":"\u0000 %d"}`))
	publish(rejected)

	require.NoError(t, commit(t, begin(t, store, requestOf(unfinishedJob, 1, 7)), 1, 4, plain))

	deleted := begin(t, store, requestOf(deletedJob, 1, 2))
	require.NoError(t, commit(t, deleted, 1, 2, plain))
	publish(deleted)
	require.NoError(t, store.SetCloudDeleted(t.Context(), deletedJob))

	abandoned := begin(t, store, requestOf(abandonedJob, 1, 9))
	require.NoError(t, commit(t, abandoned, 1, 2, plain))
	require.NoError(t, abandoned.Abandon(t.Context()))
	require.NoError(t, store.AbandonJob(t.Context(), jobOf(abandonedJob, 9)))
	require.NoError(t, store.RegisterSpool(t.Context(), "7c3a", "scrapingjob-import@7c3a"))

	skipped := begin(t, store, hookedRequest())
	batch := skipped.NewBatch()
	batch.Add(1, []byte(`{"name":"first"}`))
	batch.Skip(2, []byte(`{"name":"second"}`), "sold out")
	batch.Add(3, []byte(`{"name":"third"}`))
	batch.EndsAt(3, 3)
	require.NoError(t, commitBatch(t.Context(), skipped, batch))
	db.MustExec(`CREATE TABLE sitemaps.hooked ()`) // in place of the view
	publish(skipped)
	db.MustExec(`DROP TABLE sitemaps.hooked`)

	inPart := begin(t, mapped(t, db, replaceJob), ofSitemap("shop", requestOf(partJob, 1, 3)))
	batch = inPart.NewBatch()
	batch.Add(1, []byte(product("fits", "1")))
	batch.Add(2, []byte(product("does not", "cheap")))
	batch.Cut(3, []byte(`{"long":"`), "it is too long")
	batch.EndsAt(3, 3)
	require.NoError(t, commitBatch(t.Context(), inPart, batch))
	publish(inPart)
	if *dump != "" {
		written, err := exec.Command("pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-toast-compression", "--schema=scrapehaul", "--schema=sitemaps", url).Output()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*dump, withoutMetaCommands(written), 0o644))
	}
	return url
}

// withoutMetaCommands drops psql's own commands from the script.
func withoutMetaCommands(script []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(script) {
		if line[0] != '\\' {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}

// dumps returns the files of testdata/databases.
func dumps(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/databases/version-*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// databases returns the migrated database of each version and the present one, by name.
func databases(t *testing.T) map[string]*sqlx.DB {
	t.Helper()
	all := map[string]*sqlx.DB{"present": connect(t, filledDatabase(t))}
	for _, file := range dumps(t) {
		all[filepath.Base(file)] = connect(t, postgrestest.NewCopy(t, "migrated "+file, func(databaseURL string) error {
			return errors.Join(restore(databaseURL, file), schematest.Migrate(databaseURL))
		}))
	}
	return all
}

// restoredDatabase returns a database restored from the dump.
func restoredDatabase(t *testing.T, file string) *sqlx.DB {
	t.Helper()
	return connect(t, postgrestest.NewCopy(t, file, func(databaseURL string) error { return restore(databaseURL, file) }))
}

func restore(databaseURL, file string) error {
	script, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	db, err := postgres.Open(databaseURL) // its own connections, as the dump sets session settings
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(string(script))
	return err
}
