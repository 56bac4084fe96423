package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const patience = time.Minute

// pauseEachRecord makes a COPY take as long as the test needs.
const pauseEachRecord = `
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.01); RETURN NEW; END $$;
CREATE TRIGGER pause BEFORE INSERT ON scrapehaul.import_records FOR EACH ROW EXECUTE FUNCTION pause()`

func TestConnectionDeadDuringACopyEndsWithItsContextAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewDatabase(t)
	_, direct := newStoreOn(t, database)
	proxy, through := networkproxy.New(t, database)
	db := connect(t, through)
	db.SetMaxIdleConns(5)
	store := postgres.NewStore(db, nil)
	attempt := begin(t, store, request(1, 20_000))
	require.NoError(t, commit(t, attempt, 1, 10, plain))
	direct.MustExec(pauseEachRecord)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		batch := attempt.NewBatch()
		for n := int64(11); n <= 20_000; n++ {
			batch.Add(n, fmt.Appendf(nil, plain, n))
		}
		batch.EndsAt(20_000, 20_000)
		failed <- commitBatch(ctx, attempt, batch)
	}()
	require.Eventually(t, func() bool {
		return count(t, direct, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%COPY%' AND state = 'active' AND pid <> pg_backend_pid()`) > 0
	}, patience, 10*time.Millisecond, "a COPY under way")
	proxy.Silence()
	cancel()
	started := time.Now()
	select {
	case err := <-failed:
		require.Error(t, err)
	case <-time.After(patience):
		t.Fatal("the COPY does not end")
	}
	require.Less(t, time.Since(started), 10*time.Second)

	next := begin(t, store, request(1, 20_000))
	direct.MustExec(`DROP TRIGGER pause ON scrapehaul.import_records`)
	require.NoError(t, commit(t, next, next.Checkpoint().LastRecordNumber+1, 20_000, plain))
	require.NoError(t, next.Publish(t.Context(), func() {}))
	require.Less(t, time.Since(started), 20*time.Second, "it waits for no other dead connection")
	require.Equal(t, int64(20_000), count(t, direct, visible))
}

func TestConnectionThatIsDeadIsNoticedBeforeTheContextEnds(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewDatabase(t)
	direct := connect(t, database)
	proxy, through := networkproxy.New(t, database)
	db := connect(t, through)
	ended := make(chan error, 1)
	go func() {
		var n []int
		ended <- db.Select(&n, `SELECT 1 FROM pg_sleep(1)`)
	}()
	require.Eventually(t, func() bool {
		return count(t, direct, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(1)' AND state = 'active' AND pid <> pg_backend_pid()`) == 1
	}, patience, 10*time.Millisecond)
	proxy.Silence()
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(patience):
		t.Fatal("the query does not end")
	}
	require.NoError(t, db.PingContext(t.Context()), "the next connection works")
}

// lib/pq would reuse it.
func TestConnectionIsNotReusedAfterAPreparedStatementIsCanceled(t *testing.T) {
	t.Parallel()
	db := connect(t, postgrestest.NewDatabase(t))
	db.SetMaxOpenConns(1)
	statement, err := db.Preparex(`SELECT pg_sleep($1)`)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, statement.Close()) })
	before := count(t, db, `SELECT pg_backend_pid()`)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = statement.ExecContext(ctx, 60)
	require.Error(t, err)
	require.NotEqual(t, before, count(t, db, `SELECT pg_backend_pid()`))
}

func TestConnectingTimesOutIfNobodyAnswers(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewDatabase(t)
	proxy, through := networkproxy.New(t, database)
	proxy.SetRoundTrip(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	started := time.Now()
	require.Error(t, connect(t, through).PingContext(ctx))
	require.Error(t, connect(t, through+"&connect_timeout=1").PingContext(t.Context()))
	require.Less(t, time.Since(started), 20*time.Second)
}

func TestWaitForALockNamesItsHolder(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 10))
	other, err := db.Beginx()
	require.NoError(t, err)
	defer func() { _ = other.Rollback() }()
	_, err = other.Exec(`SET application_name = 'a report'; SELECT * FROM scrapehaul.imports FOR UPDATE`)
	require.NoError(t, err)
	var pid int64
	require.NoError(t, other.Get(&pid, `SELECT pg_backend_pid()`))

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	batch := attempt.NewBatch()
	batch.Add(1, []byte(`{}`))
	batch.EndsAt(10, 1)
	err = commitBatch(ctx, attempt, batch)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, fmt.Sprintf("waiting for a lock held by PostgreSQL process %d (a report, user ", pid))
	require.Regexp(t, `idle in transaction, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`, err.Error())
}

// timeouts are as short as they might be for the role of a web server.
var timeouts = map[string]string{
	"statement_timeout": "1s", "lock_timeout": "1s", "idle_in_transaction_session_timeout": "1s",
	"idle_session_timeout": "1s", "transaction_timeout": "1s",
}

func TestTimeoutsOfTheRoleAndTheDatabaseAreLifted(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewDatabase(t)
	admin := connect(t, database)
	name := path.Base(mustParse(t, database).Path)
	for timeout, value := range timeouts {
		if count(t, admin, `SELECT count(*) FROM pg_settings WHERE name = $1`, timeout) == 1 {
			admin.MustExec(`ALTER DATABASE ` + pq.QuoteIdentifier(name) + ` SET ` + timeout + ` = '` + value + `'`)
		}
	}
	db := connect(t, database)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	tx, err := db.Beginx()
	require.NoError(t, err)
	_, err = tx.Exec(`SELECT pg_sleep(1.3)`)
	require.NoError(t, err)
	require.Equal(t, int64(1), count(t, admin, `SELECT count(*) FROM pg_sleep(1.3)`), "while the transaction is idle")
	require.NoError(t, tx.Commit())
	require.NoError(t, db.Ping())
}

func TestSettingsOfTheDatabaseDoNotChangeWhatIsStored(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{
		`DateStyle = 'SQL, DMY'`, `TimeZone = 'Asia/Kathmandu'`, `IntervalStyle = 'sql_standard'`, `standard_conforming_strings = off`,
		`backslash_quote = off`, `bytea_output = escape`, `extra_float_digits = 0`, `search_path = pg_catalog`, `client_encoding = 'LATIN1'`,
		`row_security = off`, `synchronous_commit = off`,
	} {
		t.Run(settings, func(t *testing.T) {
			t.Parallel()
			database := postgrestest.NewDatabase(t)
			connect(t, database).MustExec(`ALTER DATABASE ` + pq.QuoteIdentifier(path.Base(mustParse(t, database).Path)) + ` SET ` + settings)
			store, db := newStoreOn(t, database)
			publishOne(t, store)
			require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.scraped_records WHERE data ->> 'a' = E'\u20ac \\ '' é'`))
			require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.rejected_records WHERE raw = decode('5c27ff', 'hex')`))
		})
	}
}

// publishOne publishes a record and a rejected one.
func publishOne(t *testing.T, store *postgres.Store) sink.Import {
	t.Helper()
	attempt := begin(t, store, request(1, 2))
	batch := attempt.NewBatch()
	batch.Add(1, []byte(`{"a":"€ \\ ' é"}`))
	batch.Add(2, []byte("\\'\xff"))
	batch.EndsAt(2, 2)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	return attempt
}

func TestStandbysAreRefused(t *testing.T) {
	t.Parallel()
	server, database := postgrestest.NewServer(t)
	store, db := newStoreOn(t, database)
	attempt := publishOne(t, store)
	counts, published, err := store.CountPublished(t.Context(), jobID, attempt.ID())
	require.NoError(t, err)
	require.True(t, published)
	require.Equal(t, sink.Counts{Records: 1, Rejected: 1}, counts)

	standby := postgrestest.NewStandby(t, server)
	name := path.Base(mustParse(t, database).Path)
	require.ErrorIs(t, connect(t, standby.URL(name)).Ping(), postgres.ErrReadOnly)
	// A host's own pool may still connect to it.
	own, err := sqlx.Open("postgres", standby.URL(name))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	for _, importID := range []int64{attempt.ID(), attempt.ID() + 1} {
		_, _, err = postgres.NewStore(own, nil).CountPublished(t.Context(), jobID, importID)
		require.ErrorIs(t, err, postgres.ErrReadOnly)
	}
	_, err = postgres.NewStore(own, nil).BeginImport(t.Context(), request(2, 2))
	require.ErrorContains(t, err, "during recovery")

	both := mustParse(t, database)
	both.Host = mustParse(t, standby.URL(name)).Host + "," + both.Host
	require.NoError(t, connect(t, both.String()).Ping(), "of two servers it takes the primary")
	require.Eventually(t, func() bool {
		found, err := postgres.Examine(t.Context(), db)
		return err == nil && found.Replicas == 1 && !found.Synchronous
	}, patience, 50*time.Millisecond)
}

func TestAHostsOwnPoolWorks(t *testing.T) {
	t.Parallel()
	own, err := sqlx.Open("postgres", postgrestest.NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	_, err = postgres.Migrate(t.Context(), own)
	require.NoError(t, err)
	own.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint, url varchar(20), price numeric, "in Stock" bigint)`)
	attempt := begin(t, mapped(t, own, replaceJob), ofSitemap("shop", request(1, 3)))
	batch := attempt.NewBatch()
	batch.Add(1, []byte(product("good 1", "1")))
	batch.Add(2, []byte(product("longer than its column is", "1")))
	batch.Add(3, []byte(`{"url":"\u0000"}`))
	batch.EndsAt(3, 3)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, sink.Counts{Records: 2, Rejected: 1, Unmapped: 1}, attempt.Checkpoint().Counts)
	require.Equal(t, int64(1), count(t, own, `SELECT count(*) FROM products`))
}

func TestConnectionsToAServerThatBecomesReadOnlyAreDiscarded(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := publishOne(t, store)
	again := begin(t, store, request(2, 1))
	db.MustExec(`SET default_transaction_read_only = on`) // on the pool's only connection
	_, _, err := store.CountPublished(t.Context(), jobID, attempt.ID())
	require.ErrorIs(t, err, postgres.ErrReadOnly)
	require.ErrorIs(t, commit(t, again, 1, 1, plain), postgres.ErrReadOnly)
	db.MustExec(`SET default_transaction_read_only = on`)
	_, err = db.Exec(`UPDATE scrapehaul.imports SET state = state`)
	require.ErrorContains(t, err, "read-only")
	db.MustExec(`UPDATE scrapehaul.imports SET state = state`)
}

func TestPgBouncerMustKeepSessions(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewDatabase(t)
	for _, mode := range []string{"transaction", "statement"} {
		_, err := postgres.Migrate(t.Context(), connect(t, postgrestest.NewPgBouncer(t, database, mode)))
		require.ErrorContains(t, err, map[string]string{"transaction": "set PgBouncer's pool_mode to session", "statement": "starting a transaction, which a pooler in statement mode refuses"}[mode])
	}
	through := postgrestest.NewPgBouncer(t, database, "session")
	store, db := newStoreOn(t, through)
	db.SetMaxIdleConns(5)
	attempt := begin(t, store, request(1, 40))
	// Like an earlier attempt that hangs.
	other, err := connect(t, through).Connx(t.Context())
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), fmt.Sprintf(`SET application_name = 'scrapehaul import of scraping job %d'`, jobID))
	require.NoError(t, err)
	require.NoError(t, commit(t, attempt, 1, 20, plain))
	attempt = begin(t, store, request(1, 40))
	require.Error(t, other.PingContext(t.Context()), "the earlier attempt is terminated")
	_ = other.Close()
	next := int64(20)
	require.NoError(t, attempt.CommitBatches(t.Context(), 4, func(context.Context) (sink.Batch, error) {
		if next++; next > 40 {
			return nil, nil
		}
		batch := attempt.NewBatch()
		batch.Add(next, fmt.Appendf(nil, plain, next))
		batch.EndsAt(next, next)
		return batch, nil
	}, func(sink.Batch) {}))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, int64(40), count(t, db, visible))
}

func mustParse(t *testing.T, databaseURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	return u
}
