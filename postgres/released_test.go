package postgres_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
)

// The databases in testdata/released were filled by code that had landed: one
// for each version of the schema, written by
//
//	go test ./postgres -run TestDatabasesOfAllVersions -dump testdata/released/version-N.sql
//
// of the last commit with that version. They are never written again to make a
// test pass.
var dump = flag.String("dump", "", "write the database that the tests fill into this `file`, by pg_dump; only from landed code")

// Scraping jobs of a database that has been in use.
const (
	replacedJob   = 1234 // 5 records published; 3 that they replaced wait for removal
	rejectedJob   = 1235 // of another sitemap: 3 records published, 1 rejected
	unfinishedJob = 1236 // 4 records of 7 committed
	deletedJob    = 1237 // 2 records published, deleted in the cloud
	givenUpJob    = 1238 // 2 records committed and abandoned; from version 2 on given up by a person
)

func requestOf(scrapingJobID int64, pass int, bytes int64) postgres.ImportRequest {
	r := request(pass, bytes)
	r.ScrapingJobID = scrapingJobID
	return r
}

func jobOf(scrapingJobID, records int64) postgres.ScrapingJob {
	j := job(records)
	j.ScrapingJobID = scrapingJobID
	return j
}

// filledDatabase returns the URL of a database that has been in use. It uses
// nothing that the first version does not have, so that it can be run there.
func filledDatabase(t *testing.T) (url string) {
	t.Helper()
	url = postgrestest.NewDatabase(t)
	db := connect(t, url)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	store := postgres.NewStore(db)

	first := begin(t, store, requestOf(replacedJob, 1, 3))
	require.NoError(t, commit(t, first, 1, 3, plain))
	require.NoError(t, first.Publish(t.Context(), jobOf(replacedJob, 3)))
	second := begin(t, store, requestOf(replacedJob, 2, 5))
	require.NoError(t, commit(t, second, 1, 2, plain))
	require.NoError(t, commit(t, second, 3, 5, `{"web_scraper_order":"1614248295-%d","product":"IdeaTab A3500L","price":"$88.99"}`))
	require.NoError(t, second.Publish(t.Context(), jobOf(replacedJob, 5)))

	rejected := begin(t, store, requestOf(rejectedJob, 1, 4))
	require.NoError(t, commit(t, rejected, 1, 3, `{"web-scraper-order":"1614248296-%d","name":"Nokia 123"}`))
	require.NoError(t, commit(t, rejected, 4, 4, `{"name":"\u0000 %d"}`))
	phones := jobOf(rejectedJob, 4)
	phones.SitemapID, phones.SitemapName, phones.CustomID = 13, "phones", ""
	require.NoError(t, rejected.Publish(t.Context(), phones))

	require.NoError(t, commit(t, begin(t, store, requestOf(unfinishedJob, 1, 7)), 1, 4, plain))

	deleted := begin(t, store, requestOf(deletedJob, 1, 2))
	require.NoError(t, commit(t, deleted, 1, 2, plain))
	require.NoError(t, deleted.Publish(t.Context(), jobOf(deletedJob, 2)))
	require.NoError(t, store.SetCloudDeleted(t.Context(), deletedJob))

	abandoned := begin(t, store, requestOf(givenUpJob, 1, 9))
	require.NoError(t, commit(t, abandoned, 1, 2, plain))
	require.NoError(t, abandoned.Abandon(t.Context()))
	if later, ok := any(store).(interface {
		GiveUp(ctx context.Context, job postgres.ScrapingJob) error
		RegisterSpool(ctx context.Context, name, taskQueue string) error
	}); ok {
		require.NoError(t, later.GiveUp(t.Context(), jobOf(givenUpJob, 9)))
		require.NoError(t, later.RegisterSpool(t.Context(), "7c3a", "scrapingjob-import@7c3a"))
	}
	if *dump != "" {
		written, err := exec.Command("pg_dump", "--inserts", "--no-owner", "--no-privileges", "--schema=scrapehaul", "--schema=sitemaps", url).Output()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*dump, withoutMetaCommands(written), 0o644))
	}
	return url
}

// withoutMetaCommands leaves out what only psql understands.
func withoutMetaCommands(script []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(script) {
		if line[0] != '\\' {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}

// restoredDatabase returns a database with what was dumped into the file.
func restoredDatabase(t *testing.T, file string) *sqlx.DB {
	t.Helper()
	script, err := os.ReadFile(file)
	require.NoError(t, err)
	url := postgrestest.NewDatabase(t)
	restoring := connect(t, url) // its settings of the session end with it
	_, err = restoring.Exec(string(script))
	require.NoError(t, err)
	return connect(t, url)
}
