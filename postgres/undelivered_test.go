package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// toAnnounce publishes an import that still has to be announced.
func toAnnounce(t *testing.T, store *postgres.Store, scrapingJobID int64) sink.Publication {
	t.Helper()
	r := requestOf(scrapingJobID, 1, 9)
	r.Announce = true
	publication, err := store.Publication(t.Context(), importedFrom(t, store, r, "url").ID())
	require.NoError(t, err)
	return *publication
}

func next(t *testing.T, store *postgres.Store) *postgres.Undelivered {
	t.Helper()
	next, err := store.NextUndelivered(t.Context(), sink.DefaultAccount, "my-sitemap")
	require.NoError(t, err)
	return next
}

func TestPublicationsAreDeliveredInOrder(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	first, second := toAnnounce(t, store, 1), toAnnounce(t, store, 2)
	require.Nil(t, next(t, store))
	other := first
	other.ImportID, other.SitemapName = 999, "other"
	require.NoError(t, store.AddUndelivered(t.Context(), other))

	require.NoError(t, store.AddUndelivered(t.Context(), second))
	require.NoError(t, store.SetAnnounced(t.Context(), second.ImportID, ""))
	waiting := next(t, store)
	require.WithinDuration(t, time.Now(), waiting.AddedAt, time.Minute)
	require.Equal(t, &postgres.Undelivered{Publication: second, AddedAt: waiting.AddedAt, Waits: true}, waiting)

	for range 2 {
		require.NoError(t, store.AddUndelivered(t.Context(), first))
	}
	require.Equal(t, first, next(t, store).Publication)
	require.False(t, next(t, store).Waits)
	require.NoError(t, store.SetAnnounced(t.Context(), first.ImportID, ""))
	require.NoError(t, store.SetDelivered(t.Context(), first.ImportID))
	require.NoError(t, store.SetDelivered(t.Context(), first.ImportID))
	require.Equal(t, second, next(t, store).Publication)
	require.False(t, next(t, store).Waits)

	for range 2 {
		require.NoError(t, store.SetUndeliverable(t.Context(), second.ImportID, "the webhook answered 500 for a day"))
	}
	require.Nil(t, next(t, store))
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.undelivered_publications WHERE problem = 'the webhook answered 500 for a day' AND failed_at <= now()`))
	require.Equal(t, []string{"the webhook answered 500 for a day"}, rows(t, db, `SELECT problem FROM scrapehaul.imports WHERE problem IS NOT NULL`))
}

func TestSitemapsOfTwoAccountsWithOneNameAreDeliveredSeparately(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	ours, theirs := requestOf(1, 1, 9), requestOf(2, 1, 9)
	theirs.Job.Account = "acme"
	for _, r := range []sink.ImportRequest{ours, theirs} { // the first publication is not announced yet
		r.Announce = true
		publication, err := store.Publication(t.Context(), importedFrom(t, store, r, "url").ID())
		require.NoError(t, err)
		if r.Job.Account == "acme" {
			require.NoError(t, store.AddUndelivered(t.Context(), *publication))
		}
	}
	require.Nil(t, next(t, store))
	waiting, err := store.NextUndelivered(t.Context(), "acme", "my-sitemap")
	require.NoError(t, err)
	require.Equal(t, "acme", waiting.Account)
	require.False(t, waiting.Waits, "the earlier one is another account's")
	sitemaps, err := store.SitemapsWithUndelivered(t.Context())
	require.NoError(t, err)
	require.Equal(t, []postgres.Sitemap{{Account: "acme", Name: "my-sitemap"}}, sitemaps)
}

// The activity that records the announcement may be retried after the delivery.
func TestADeliveredPublicationIsNotQueuedAgain(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published := toAnnounce(t, store, 1)
	require.NoError(t, store.AddUndelivered(t.Context(), published))
	require.NoError(t, store.SetDelivered(t.Context(), published.ImportID))
	require.NoError(t, store.AddUndelivered(t.Context(), published))
	require.Nil(t, next(t, store))
	require.NoError(t, store.SetAnnounced(t.Context(), published.ImportID, "no such namespace"))
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.imports WHERE problem = 'no such namespace'`))

	elsewhere := published // in another sink, with the ID of another import here
	elsewhere.PublishedAt = elsewhere.PublishedAt.Add(time.Minute)
	require.NoError(t, store.AddUndelivered(t.Context(), elsewhere))
	require.NotNil(t, next(t, store))
}

func TestSitemapsWithUndeliveredAreListedAndOldFailuresRemoved(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	waiting, failed := toAnnounce(t, store, 1), toAnnounce(t, store, 2)
	failed.SitemapName = "other"
	for _, each := range []sink.Publication{waiting, failed} {
		require.NoError(t, store.AddUndelivered(t.Context(), each))
	}
	require.NoError(t, store.SetUndeliverable(t.Context(), failed.ImportID, "no answer"))
	for _, left := range []int64{2, 1} {
		sitemaps, err := store.SitemapsWithUndelivered(t.Context())
		require.NoError(t, err)
		require.Equal(t, []postgres.Sitemap{{Account: sink.DefaultAccount, Name: "my-sitemap"}}, sitemaps)
		require.Equal(t, left, count(t, db, `SELECT count(*) FROM scrapehaul.undelivered_publications`))
		db.MustExec(`UPDATE scrapehaul.undelivered_publications SET failed_at = failed_at - interval '31 days'`)
	}
}

// Its workflow may have been terminated; reconciliation announces it later.
func TestDeliveryWaitsAnHourForAnUnannouncedImport(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	first, second := toAnnounce(t, store, 1), toAnnounce(t, store, 2)
	require.NoError(t, store.AddUndelivered(t.Context(), second))
	for age, waits := range map[string]bool{"59 minutes": true, "61 minutes": false} {
		db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - $2::interval WHERE import_id = $1`, first.ImportID, age)
		require.Equal(t, waits, next(t, store).Waits, age)
	}
}

// IDs of another sink's imports are those of other imports here.
func TestProblemOfAnotherSinksImportIsNotRecordedHere(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	elsewhere := toAnnounce(t, store, 1)
	elsewhere.ScrapingJobID = 2
	require.NoError(t, store.AddUndelivered(t.Context(), elsewhere))
	require.NoError(t, store.SetUndeliverable(t.Context(), elsewhere.ImportID, "no answer"))
	require.Zero(t, count(t, db, `SELECT count(*) FROM scrapehaul.imports WHERE problem IS NOT NULL`))
}
