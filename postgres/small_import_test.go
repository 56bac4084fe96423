package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

func TestASmallImportTakesFewRoundTrips(t *testing.T) {
	t.Parallel()
	proxy, through := networkproxy.New(t, postgrestest.NewDatabase(t))
	db := connect(t, through)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	store, ledger := postgres.NewStore(db, nil), postgres.NewLedger(db, sink.DefaultAccount, 200)
	var trips int64
	for pass := range 3 { // the first ones prepare the statements and the view
		before := proxy.RoundTrips()
		grant, wait, err := ledger.Reserve(t.Context(), postgres.Request{Holder: "one", Class: postgres.CallsForDownloads, Calls: 2})
		require.NoError(t, err)
		require.Zero(t, wait)
		require.NoError(t, grant.Release(t.Context()))
		attempt := begin(t, store, request(pass+1, 100))
		require.NoError(t, commit(t, attempt, 1, 100, plain))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		require.NoError(t, store.SetCloudDeleted(t.Context(), jobID))
		trips = proxy.RoundTrips() - before
	}
	require.LessOrEqual(t, trips, int64(28), "for an import that replaces another")
	state, err := ledger.State(t.Context())
	require.NoError(t, err)
	require.Zero(t, state.Taken)
}

// A later version migrates the schema while this one keeps running.
func TestPreparedStatementsSurviveASchemaChange(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.SetMaxOpenConns(1)
	publish := func(pass int) error {
		attempt, err := store.BeginImport(t.Context(), request(pass, 5))
		if err == nil {
			err = commit(t, attempt, 1, 5, plain)
		}
		if err == nil {
			err = attempt.Publish(t.Context(), func() {})
		}
		return err
	}
	require.NoError(t, publish(1))
	db.MustExec(`ALTER TABLE scrapehaul.imports ADD COLUMN of_a_later_version text NOT NULL DEFAULT ''`)
	db.MustExec(`CREATE INDEX ON scrapehaul.imports (scrapingjob_id, state)`)
	require.NoError(t, publish(2))

	db.MustExec(`ALTER TABLE scrapehaul.imports ALTER COLUMN sha256 TYPE varchar, ALTER COLUMN problem TYPE varchar, ALTER COLUMN cut TYPE integer`)
	failed := 0
	for publish(3) != nil { // a plan cannot change its result type; the next attempt prepares a new one
		failed++
		require.LessOrEqual(t, failed, 5)
	}
	require.Equal(t, int64(5), count(t, db, visible))
}

func TestPublishingWaitsForNoOtherImportOfItsSitemap(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publish := func(pass int, record string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		attempt := begin(t, store, request(pass, 5))
		require.NoError(t, commit(t, attempt, 1, 5, record))
		require.NoError(t, attempt.Publish(ctx, func() {}))
	}
	publish(1, plain)
	other := db.MustBegin() // another import, about to commit
	defer func() { _ = other.Rollback() }()
	other.MustExec(`SELECT FROM scrapehaul.sitemap_views FOR KEY SHARE`)
	publish(2, plain)
	publish(3, `{"another column":%d}`)
	require.Equal(t, int64(1), count(t, db, fmt.Sprintf(`SELECT count("another column") FROM sitemaps.%q WHERE record_number = 5`, job(5).SitemapName)))
}
