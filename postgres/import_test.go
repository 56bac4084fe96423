package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const jobID = 1234

func newStore(t *testing.T) (*postgres.Store, *sqlx.DB) {
	t.Helper()
	db := connect(t, schematest.NewDatabase(t))
	return postgres.NewStore(db, nil), db
}

func newStoreOn(t *testing.T, databaseURL string) (*postgres.Store, *sqlx.DB) {
	t.Helper()
	db := connect(t, databaseURL)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	return postgres.NewStore(db, nil), db
}

func connect(t *testing.T, url string) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// request is the import of a file of that many bytes. A later pass is requested later.
func request(pass int, bytes int64) sink.ImportRequest {
	return sink.ImportRequest{
		Job: job(bytes), WorkflowRunID: "run", Pass: pass,
		RequestedAt: time.Date(2026, 1, 1, 0, 0, pass, 0, time.UTC), Bytes: bytes, SHA256: "abc",
	}
}

func begin(t *testing.T, store *postgres.Store, r sink.ImportRequest) sink.Import {
	t.Helper()
	attempt, err := store.BeginImport(t.Context(), r)
	require.NoError(t, err)
	return attempt
}

// commit commits records first to last as one batch. A record counts as one byte of the
// file.
func commit(t *testing.T, attempt sink.Import, first, last int64, format string) error {
	t.Helper()
	batch := attempt.NewBatch()
	for n := first; n <= last; n++ {
		batch.Add(n, fmt.Appendf(nil, format, n))
	}
	batch.EndsAt(last, last)
	return commitBatch(t.Context(), attempt, batch)
}

// commitBatch commits one batch.
func commitBatch(ctx context.Context, attempt sink.Import, batch sink.Batch) error {
	return attempt.CommitBatches(ctx, 1, func(context.Context) (next sink.Batch, err error) {
		next, batch = batch, nil
		return next, nil
	}, func(sink.Batch) {})
}

const plain = `{"web-scraper-order":"1614248295-%d","product":"IdeaTab A3500L"}`

func job(records int64) sink.ScrapingJob {
	return sink.ScrapingJob{
		ScrapingJobID: jobID, Account: sink.DefaultAccount, SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12",
		Status: "finished", JobsScheduled: 3, JobsExecuted: 3, StoredRecordCount: records,
	}
}

func count(t *testing.T, db *sqlx.DB, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, db.Get(&n, query, args...))
	return n
}

const visible = `SELECT count(*) FROM scrapehaul.scraped_records`

func TestProcessesMigrateConcurrently(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	var all sync.WaitGroup
	for range 5 {
		db := connect(t, url)
		all.Go(func() {
			version, err := postgres.Migrate(context.Background(), db)
			if err != nil || version < 1 {
				t.Errorf("migrating: version %d, %v", version, err)
			}
		})
	}
	all.Wait()
}

func TestMigrateAcceptsASchemaCreatedByAnAdministrator(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	admin := connect(t, url)
	role := fmt.Sprintf("importer_%d", time.Now().UnixNano())
	admin.MustExec(`CREATE ROLE ` + role)
	t.Cleanup(func() { admin.MustExec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role) })
	admin.MustExec(`CREATE SCHEMA scrapehaul AUTHORIZATION ` + role)

	_, err := postgres.Migrate(t.Context(), connect(t, url+"&options=-c%20role%3D"+role))
	require.NoError(t, err)
}

func TestRecordsAreVisibleOncePublished(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 7))
	require.NoError(t, commit(t, attempt, 1, 5, plain))
	require.ErrorContains(t, attempt.Publish(t.Context(), func() {}), "only 5 of 7 bytes are committed")
	require.NoError(t, commit(t, attempt, 6, 7, `{"web_scraper_order":"1614248295-%d","price":1234567890123456789.10}`))
	require.Zero(t, count(t, db, visible), "nothing is visible before")

	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.NoError(t, attempt.Publish(t.Context(), func() {}), "publishing is idempotent")

	var rows []struct {
		ScrapingJobID    int64      `db:"scrapingjob_id"`
		SitemapID        int64      `db:"sitemap_id"`
		SitemapName      string     `db:"sitemap_name"`
		CustomID         string     `db:"custom_id"`
		RecordNumber     int64      `db:"record_number"`
		WebScraperOrder  string     `db:"web_scraper_order"`
		Data             string     `db:"data"`
		ImportedAt       time.Time  `db:"imported_at"`
		Account          string     `db:"account"`
		TimeCreated      *time.Time `db:"time_created"`
		ScrapingDuration *int64     `db:"scraping_duration"`
	}
	require.NoError(t, db.Select(&rows, `SELECT * FROM scrapehaul.scraped_records ORDER BY record_number`))
	require.Len(t, rows, 7)
	require.Equal(t, "1614248295-1", rows[0].WebScraperOrder, "with hyphens")
	require.Equal(t, "1614248295-7", rows[6].WebScraperOrder, "with underscores")
	require.Contains(t, rows[6].Data, "1234567890123456789.10", "numbers keep their digits")
	require.Equal(t, int64(12), rows[0].SitemapID)
	require.Equal(t, "my-sitemap", rows[0].SitemapName)
	require.Equal(t, "custom-12", rows[0].CustomID)
	require.Equal(t, sink.DefaultAccount, rows[0].Account)
	require.WithinDuration(t, time.Now(), rows[0].ImportedAt, time.Minute)

	counts, published, err := store.CountPublished(t.Context(), jobID, attempt.ID())
	require.NoError(t, err)
	require.True(t, published)
	require.Equal(t, sink.Counts{Records: 7}, counts)
}

// A published job may be deleted in the cloud, so a database crash must not lose it,
// whatever the settings.
func TestPublishingIsFlushedToDisk(t *testing.T) {
	t.Parallel()
	for setting, waits := range map[string]string{"off": "on", "local": "local"} {
		url := postgrestest.NewDatabase(t) + "&options=-c%20synchronous_commit%3D" + setting
		db := connect(t, url)
		_, err := postgres.Migrate(t.Context(), db)
		require.NoError(t, err)
		db.MustExec(`CREATE TABLE published_with (setting text)`)
		db.MustExec(`CREATE FUNCTION note_setting() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO published_with VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
		db.MustExec(`CREATE TRIGGER note_setting AFTER UPDATE ON scrapehaul.imports
			FOR EACH ROW WHEN (NEW.state = 'published') EXECUTE FUNCTION note_setting()`)

		attempt := begin(t, postgres.NewStore(db, nil), request(1, 2))
		require.NoError(t, commit(t, attempt, 1, 2, plain))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		var was []string
		require.NoError(t, db.Select(&was, `SELECT setting FROM published_with`))
		require.Equal(t, []string{waits}, was, "with setting %q", setting)
		require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = $1`, setting))
	}
}

func TestARetryResumesAfterTheLastCommittedBatch(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	require.NoError(t, commit(t, begin(t, store, request(1, 10)), 1, 6, plain))

	retry := begin(t, store, request(1, 10))
	require.Equal(t, sink.Checkpoint{Bytes: 6, LastRecordNumber: 6, Counts: sink.Counts{Records: 6}}, retry.Checkpoint())
	require.NoError(t, commit(t, retry, 7, 10, plain))
	require.NoError(t, retry.Publish(t.Context(), func() {}))
	require.Equal(t, int64(10), count(t, db, visible))

	done := begin(t, store, request(1, 10))
	require.True(t, done.Published(), "a retry after the publish")
	require.Equal(t, retry.ID(), done.ID())
}

func TestAnImportStartsOverWithAnotherFile(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	first := begin(t, store, request(1, 10))
	require.NoError(t, commit(t, first, 1, 6, plain))

	other := request(1, 10)
	other.SHA256 = "def"
	second := begin(t, store, other)
	require.Zero(t, second.Checkpoint())
	require.ErrorIs(t, commit(t, first, 7, 10, plain), sink.ErrOvertaken)
	require.NoError(t, commit(t, second, 1, 10, plain))
	require.NoError(t, second.Publish(t.Context(), func() {}))
	require.Equal(t, int64(10), count(t, db, visible))
}

func TestAnOvertakenAttemptCommitsNothing(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	stale := begin(t, store, request(1, 10))
	require.NoError(t, commit(t, stale, 1, 5, plain))
	retry := begin(t, store, request(1, 10))

	require.ErrorIs(t, commit(t, stale, 6, 10, plain), sink.ErrOvertaken)
	require.Equal(t, int64(5), count(t, db, `SELECT count(*) FROM scrapehaul.import_records`))
	require.NoError(t, commit(t, retry, 6, 10, plain))
	require.ErrorIs(t, stale.Abandon(t.Context()), sink.ErrOvertaken)
	require.ErrorContains(t, stale.Publish(t.Context(), func() {}), "only 5 of 10")
	require.NoError(t, retry.Publish(t.Context(), func() {}))
	require.Equal(t, int64(10), count(t, db, visible))
}

// A frozen process keeps its connection and its locks.
func TestAnAttemptThatHangsInATransactionIsTerminated(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	first := begin(t, store, request(1, 10))
	hanging, err := db.Beginx()
	require.NoError(t, err)
	defer func() { _ = hanging.Rollback() }()
	hanging.MustExec(`SELECT set_config('application_name', 'scrapehaul import of scraping job 1234', true)`)
	hanging.MustExec(`SELECT * FROM scrapehaul.imports WHERE import_id = $1 FOR UPDATE`, first.ID())

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = store.BeginImport(ctx, request(1, 10))
	require.NoError(t, err)
}

// In database/sql, a broken connection can wait for its own transaction.
func TestALostConnectionIsAnErrorAndDoesNotHang(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 1<<40))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for lost := 0; lost < 50; {
			next := attempt.Checkpoint().LastRecordNumber + 1
			if err := commit(t, attempt, next, next+9, plain); err == nil {
				continue
			}
			lost++ // before or after the commit; the next attempt finds out
			if next, err := store.BeginImport(t.Context(), request(1, 1<<40)); err == nil {
				attempt = next
			}
		}
	}()
	hangs := time.After(time.Minute)
	for running := true; running; {
		_, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'scrapehaul import%' AND datname = current_database()`)
		require.NoError(t, err)
		select {
		case <-finished:
			running = false
		case <-hangs:
			t.Fatal("the attempt hangs")
		default:
		}
	}
	imported := begin(t, store, request(1, 1<<40)).Checkpoint().Records
	require.Equal(t, imported, count(t, db, `SELECT count(*) FROM scrapehaul.import_records`))
	require.Equal(t, imported, count(t, db, `SELECT coalesce(max(record_number), 0) FROM scrapehaul.import_records`))
}

func TestAnEarlierRequestNeverReplacesALaterOne(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	early := begin(t, store, request(1, 3))
	late := begin(t, store, request(2, 5))
	_, err := store.BeginImport(t.Context(), request(1, 3))
	require.ErrorIs(t, err, sink.ErrSuperseded)
	require.ErrorIs(t, commit(t, early, 1, 3, plain), sink.ErrOvertaken)

	require.NoError(t, commit(t, late, 1, 5, plain))
	require.NoError(t, late.Publish(t.Context(), func() {}))
	_, err = store.BeginImport(t.Context(), request(1, 3))
	require.ErrorIs(t, err, sink.ErrSuperseded)
	require.Equal(t, int64(5), count(t, db, visible))
}

func TestRejectedRecordsLeaveTheirNeighborsAlone(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 6))
	batch := attempt.NewBatch()
	batch.Add(1, []byte(`{"good":1}`))
	batch.Add(2, []byte(`{"cut":`))
	batch.Add(3, []byte(`{"refused by PostgreSQL alone":1e200000}`))
	batch.Add(4, []byte(`{"so":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`))
	batch.Add(5, []byte(`{"good":2}`))
	batch.Reject(6, []byte(`{"long":"`), "too long")
	batch.EndsAt(6, 6)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))

	checkpoint := attempt.Checkpoint()
	require.Equal(t, int64(6), checkpoint.Records+checkpoint.Rejected)
	var numbers []int64
	require.NoError(t, db.Select(&numbers, `SELECT record_number FROM scrapehaul.scraped_records ORDER BY 1`))
	require.Subset(t, numbers, []int64{1, 5})
	var rejects []struct {
		Number int64  `db:"record_number"`
		Raw    []byte `db:"raw"`
		Reason string `db:"reason"`
	}
	require.NoError(t, db.Select(&rejects, `SELECT record_number, raw, reason FROM scrapehaul.rejected_records WHERE record_number <> 4 ORDER BY 1`))
	require.Len(t, rejects, 3)
	require.Equal(t, `{"cut":`, string(rejects[0].Raw))
	require.Contains(t, rejects[0].Reason, "cut off")
	require.Equal(t, `{"refused by PostgreSQL alone":1e200000}`, string(rejects[1].Raw))
	require.Contains(t, rejects[1].Reason, "PostgreSQL refuses it: ")
	require.Equal(t, "too long", rejects[2].Reason)
}

func TestReadersSeeTheCompleteOldOrNewImport(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publish := func(pass int, records int64) {
		attempt := begin(t, store, request(pass, records))
		require.NoError(t, commit(t, attempt, 1, records/2, fmt.Sprintf(`{"pass":%d,"n":%%d}`, pass)))
		require.NoError(t, commit(t, attempt, records/2+1, records, fmt.Sprintf(`{"pass":%d,"n":%%d}`, pass)))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	}
	publish(1, 1000)

	done := make(chan struct{})
	seen := map[string]bool{}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			var states []string
			err := db.Select(&states, `SELECT (data->>'pass') || ':' || count(*) FROM scrapehaul.scraped_records GROUP BY data->>'pass'`)
			if err != nil || len(states) != 1 {
				t.Errorf("a reader sees %q: %v", states, err)
			}
			for _, state := range states {
				seen[state] = true
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for pass := 2; pass <= 10; pass++ {
		publish(pass, int64(1000*pass))
	}
	close(done)
	reader.Wait()
	for state := range seen {
		var pass, n int
		_, err := fmt.Sscanf(state, "%d:%d", &pass, &n)
		require.NoError(t, err)
		require.Equal(t, 1000*pass, n, "readers see all of an import or none")
	}
	require.Greater(t, len(seen), 1, "the reader saw several imports: %v", seen)
	require.Equal(t, int64(10_000), count(t, db, `SELECT count(*) FROM scrapehaul.import_records`), "replaced records are removed")
	require.Equal(t, int64(9), count(t, db, `SELECT count(*) FROM scrapehaul.imports WHERE state = 'replaced'`), "their history is kept")
}

func TestAnAbandonedImportLeavesThePublishedOne(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	good := begin(t, store, request(1, 5))
	require.NoError(t, commit(t, good, 1, 5, plain))
	require.NoError(t, good.Publish(t.Context(), func() {}))

	short := begin(t, store, request(2, 2))
	require.NoError(t, commit(t, short, 1, 2, plain))
	require.NoError(t, short.Abandon(t.Context()))
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.Equal(t, int64(5), count(t, db, visible))
	require.Equal(t, int64(5), count(t, db, `SELECT count(*) FROM scrapehaul.import_records`))
}
