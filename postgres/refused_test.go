package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

func TestRefusedJobsAreListedForADayAndKeptForAMonth(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "acme:my-sitemap")
	published(t, store, 2, "my-sitemap")
	refuse := func(id int64, account string) {
		t.Helper()
		require.NoError(t, store.Refuse(t.Context(), id, account))
	}
	refuse(1, "default")
	refuse(1, "globex")
	refuse(2, "acme")
	refuse(2, "default") // another account's run still existed
	db.MustExec(`UPDATE scrapehaul.refused_jobs SET refused_at = refused_at - CASE account WHEN 'acme' THEN interval '31 days' WHEN 'globex' THEN interval '2 days' ELSE interval '1 hour' END`)
	refused, err := store.Refused(t.Context())
	require.NoError(t, err)
	require.Len(t, refused, 1)
	require.WithinDuration(t, time.Now().Add(-time.Hour), refused[0].RefusedAt, time.Minute)
	refused[0].RefusedAt = time.Time{}
	require.Equal(t, []postgres.RefusedJob{{ScrapingJobID: 1, Account: "default", Owner: "acme"}}, refused)

	refuse(1, "globex")
	refuse(1, "globex")
	refused, err = store.Refused(t.Context())
	require.NoError(t, err)
	require.Len(t, refused, 2)
	require.Equal(t, "globex", refused[0].Account, "the latest first")
	require.Equal(t, []string{"default", "default", "globex"}, rows(t, db, `SELECT account FROM scrapehaul.refused_jobs ORDER BY account`))
}

// What the workflow has checked may change before the import starts: a reset run may still
// publish, for example.
func TestImportOfAnotherAccountsJobDoesNotStart(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, jobID, "acme:my-sitemap", `{"a":"1"}`)
	for _, account := range []string{"default", "globex"} {
		for range 2 {
			r := request(1, 3)
			r.Job.Account, r.RequestedAt = account, time.Now().Add(time.Hour)
			_, err := store.BeginImport(t.Context(), r)
			require.ErrorIs(t, err, sink.ErrSuperseded, account)
		}
	}
	require.Equal(t, []string{"acme|1"}, rows(t, db, `SELECT account, count(*) FROM scrapehaul.imports JOIN scrapehaul.scraping_jobs USING (scrapingjob_id) GROUP BY account`))

	r := request(1, 3) // of an earlier build
	r.Job.Account, r.RequestedAt = "", time.Now().Add(time.Hour)
	begin(t, store, r)
}
