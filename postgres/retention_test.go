package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const day = 24 * time.Hour

// publishedAgo publishes an import of a finished job, backdated by days.
func publishedAgo(t *testing.T, store *postgres.Store, db *sqlx.DB, id int64, sitemap string, days int) {
	t.Helper()
	published(t, store, id, sitemap, product("a", "1"), product("b", "2"))
	db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - make_interval(days => $2) WHERE scrapingjob_id = $1 AND state = 'published'`, id, days)
}

func oldImports(t *testing.T, store *postgres.Store, r postgres.Retention) []postgres.OldImport {
	t.Helper()
	old, err := store.OldImports(t.Context(), r)
	require.NoError(t, err)
	return old
}

func oldJobs(t *testing.T, store *postgres.Store, r postgres.Retention) (jobs []int64) {
	t.Helper()
	for _, each := range oldImports(t, store, r) {
		jobs = append(jobs, each.ScrapingJobID)
	}
	return jobs
}

// removeOld removes old imports and their records.
func removeOld(t *testing.T, store *postgres.Store, r postgres.Retention) (removed int) {
	t.Helper()
	for _, each := range oldImports(t, store, r) {
		gone, err := store.RemoveImport(t.Context(), each, func() {})
		require.NoError(t, err)
		require.True(t, gone)
		removed++
	}
	for _, id := range jobsWithUnneeded(t, store) {
		require.NoError(t, store.RemoveUnneeded(t.Context(), id, func(int64) {}))
	}
	return removed
}

func TestAnImportIsOldIfAllRulesAllowIt(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	for id, days := range []int{50, 40, 30, 20, 10} {
		publishedAgo(t, store, db, int64(id+1), "shop", days)
	}
	publishedAgo(t, store, db, 11, "books", 90)
	publishedAgo(t, store, db, 12, "books", 80)
	for _, c := range []struct {
		name string
		file string
		r    postgres.Retention
		want []int64
	}{
		{name: "nothing is set"},
		{name: "a retention", r: postgres.Retention{Records: 25 * day}, want: []int64{11, 1, 2, 3}},
		{name: "a number", r: postgres.Retention{KeepImports: 3}, want: []int64{1, 2}},
		{name: "both", r: postgres.Retention{Records: 45 * day, KeepImports: 3}, want: []int64{1}},
		{name: "the last finished job stays", r: postgres.Retention{Records: day}, want: []int64{11, 1, 2, 3, 4}},
		{
			name: "the file alone", want: []int64{1, 2, 3},
			file: "sitemaps: [{sitemap: shop, records_retention: 600h}]",
		},
		{
			name: "the file overrides it", r: postgres.Retention{Records: day, KeepImports: 1}, want: []int64{1},
			file: "sitemaps: [{sitemap: shop, keep_imports: 4}, {sitemap: books, records_retention: 0}]",
		},
		{
			name: "another account's", r: postgres.Retention{Records: 85 * day}, want: []int64{11},
			file: "sitemaps: [{sitemap: books, account: acme, records_retention: 0}]",
		},
	} {
		store := store
		if c.file != "" {
			store = mapped(t, db, c.file)
		}
		c.r.NeverDeleted = true
		require.Equal(t, c.want, oldJobs(t, store, c.r), c.name)
	}

	// A re-import makes the job new.
	published(t, store, 1, "shop", `{"url":"a"}`)
	require.Equal(t, []int64{2, 3}, oldJobs(t, store, postgres.Retention{Records: 15 * day, KeepImports: 3, NeverDeleted: true}))
}

func TestAnImportThatIsStillNeededStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		neverDeleted bool
		happens      string
		happensTo    func(t *testing.T, store *postgres.Store)
	}{
		"its job is not deleted in the cloud": {happens: `UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = NULL`},
		"the later job was stopped": {
			happens: `UPDATE scrapehaul.scraping_jobs SET status = 'stopped' WHERE scrapingjob_id = 2`, neverDeleted: true,
		},
		"it is not announced": {happens: `UPDATE scrapehaul.imports SET announce = true`},
		"it is not delivered": {happens: `INSERT INTO scrapehaul.undelivered_publications (import_id, sitemap_name, event, published_at)
			SELECT import_id, 'shop', '{}', now() FROM scrapehaul.imports WHERE scrapingjob_id = 1`},
		"its job is imported again": {happensTo: func(t *testing.T, store *postgres.Store) {
			again := ofJob(1, request(2, 5))
			again.RequestedAt = time.Now()
			begin(t, store, again)
		}},
		"another import is published": {happensTo: func(t *testing.T, store *postgres.Store) {
			published(t, store, 1, "shop", `{"url":"c"}`)
		}},
		"its sitemap has another name now": {happens: `UPDATE scrapehaul.scraping_jobs SET sitemap_name = 'books' WHERE scrapingjob_id = 1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db := newStore(t)
			publishedAgo(t, store, db, 1, "shop", 50)
			publishedAgo(t, store, db, 2, "shop", 40)
			require.NoError(t, store.SetCloudDeleted(t.Context(), 1))
			r := postgres.Retention{Records: day, NeverDeleted: c.neverDeleted}
			old := oldImports(t, store, r)
			require.Len(t, old, 1)

			// Between listing and removal.
			if c.happens != "" {
				db.MustExec(c.happens)
			} else {
				c.happensTo(t, store)
			}
			removed, err := store.RemoveImport(t.Context(), old[0], func() {})
			require.NoError(t, err)
			require.False(t, removed)
			require.NotContains(t, oldJobs(t, store, r), int64(1))
			require.Positive(t, count(t, db, `SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = 1`))
		})
	}
}

func TestAnImportWhoseJobIsBusyStaysForNow(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publishedAgo(t, store, db, 1, "shop", 50)
	publishedAgo(t, store, db, 2, "shop", 40)
	r := postgres.Retention{Records: day, NeverDeleted: true}
	publishing := db.MustBegin()
	publishing.MustExec(`SELECT FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = 1 FOR UPDATE`)
	removed, err := store.RemoveImport(t.Context(), oldImports(t, store, r)[0], func() {})
	require.NoError(t, err)
	require.False(t, removed)
	require.NoError(t, publishing.Rollback())
	require.Equal(t, 1, removeOld(t, store, r))
}

func TestAStoppedJobIsOldAlthoughItStaysInTheCloud(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publishedAgo(t, store, db, 1, "shop", 50)
	publishedAgo(t, store, db, 2, "shop", 40)
	db.MustExec(`UPDATE scrapehaul.scraping_jobs SET status = 'stopped' WHERE scrapingjob_id = 1`)
	require.Equal(t, []int64{1}, oldJobs(t, store, postgres.Retention{Records: day}))
}

func TestARemovedImportDisappearsButKeepsItsHistory(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publishedAgo(t, store, db, 1, "shop", 50)
	publishedAgo(t, store, db, 2, "shop", 40)
	require.NoError(t, store.SetCloudDeleted(t.Context(), 1))
	before, err := store.PublishedImports(t.Context(), []int64{1})
	require.NoError(t, err)
	old := oldImports(t, store, postgres.Retention{Records: day})
	require.Len(t, old, 1)
	require.Equal(t, int64(2), old[0].Records)

	removed, err := store.RemoveImport(t.Context(), old[0], func() {})
	require.NoError(t, err)
	require.True(t, removed)
	inViews := func() int64 {
		return count(t, db, visible+` WHERE scrapingjob_id = 1`) + count(t, db, `SELECT count(*) FROM sitemaps.shop WHERE scrapingjob_id = 1`)
	}
	require.Zero(t, inViews())
	require.Equal(t, int64(4), count(t, db, allRecords), "the records are removed later")
	require.Equal(t, []int64{1}, jobsWithUnneeded(t, store))
	require.NoError(t, store.RemoveUnneeded(t.Context(), 1, func(int64) {}))
	require.Equal(t, int64(2), count(t, db, allRecords))
	require.Empty(t, jobsWithUnneeded(t, store))

	after, err := store.PublishedImports(t.Context(), []int64{1})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), *after[1].RemovedAt, time.Minute)
	was := after[1]
	was.RemovedAt = nil
	require.Equal(t, before[1], was, "it is not due again")
	_, counted, err := store.CountPublished(t.Context(), 1, old[0].ImportID)
	require.NoError(t, err)
	require.False(t, counted, "the job must not be deleted because of it")
	history, err := store.History(t.Context(), postgres.HistoryQuery{ScrapingJobID: 1, Limit: 10})
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.Equal(t, "removed", history[0].State)
	require.True(t, history[0].RemovedAt.Valid)
	require.Equal(t, int64(2), history[0].Records)
	_, err = store.Publication(t.Context(), old[0].ImportID)
	require.NoError(t, err)
	again, err := store.RemoveImport(t.Context(), old[0], func() {})
	require.NoError(t, err)
	require.False(t, again)

	// A late attempt finds its import done.
	late, err := store.BeginImport(t.Context(), requestOfImport(db, old[0].ImportID))
	require.NoError(t, err)
	require.True(t, late.Published())
	require.Zero(t, inViews())

	published(t, store, 1, "shop", `{"url":"a"}`, `{"url":"b"}`)
	require.Equal(t, int64(4), inViews(), "it is restored")
	restored, err := store.PublishedImports(t.Context(), []int64{1})
	require.NoError(t, err)
	require.Nil(t, restored[1].RemovedAt)
	publication, err := store.Publication(t.Context(), restored[1].ImportID)
	require.NoError(t, err)
	require.Equal(t, old[0].ImportID, publication.ReplacedImportID)
	require.Equal(t, int64(2), count(t, db, `SELECT count(*) FROM scrapehaul.imports WHERE scrapingjob_id = 1 AND state IN ('removed', 'published')`))
}

// requestOfImport returns the request of an import.
func requestOfImport(db *sqlx.DB, importID int64) (r sink.ImportRequest) {
	if err := db.QueryRowx(`SELECT scrapingjob_id, workflow_run_id, pass, requested_at, bytes, sha256 FROM scrapehaul.imports WHERE import_id = $1`, importID).
		Scan(&r.Job.ScrapingJobID, &r.WorkflowRunID, &r.Pass, &r.RequestedAt, &r.Bytes, &r.SHA256); err != nil {
		panic(err)
	}
	return r
}

func TestAJobKeepsItsAccountAfterItsImportIsRemoved(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publishedAgo(t, store, db, 1, "shop", 50)
	publishedAgo(t, store, db, 2, "shop", 40)
	require.Equal(t, 1, removeOld(t, store, postgres.Retention{Records: day, NeverDeleted: true}))
	other := ofJob(1, request(2, 1))
	other.Job.Account, other.RequestedAt = "acme", time.Now()
	_, err := store.BeginImport(t.Context(), other)
	require.ErrorIs(t, err, sink.ErrSuperseded)
	require.Equal(t, int64(2), count(t, db, `SELECT count(*) FROM scrapehaul.scraping_jobs WHERE account = 'default'`))
}

func TestRowsOfARemovedImportAreDeletedOnlyInModeReplaceJob(t *testing.T) {
	t.Parallel()
	r := postgres.Retention{Records: day, NeverDeleted: true}
	store, db := newMapped(t, replaceJob)
	publishedAgo(t, store, db, 1, "shop", 50)
	publishedAgo(t, store, db, 2, "shop", 40)
	require.Equal(t, 1, removeOld(t, store, r))
	require.Equal(t, []string{"2 a 1 7", "2 b 2 7"}, rows(t, db, allProducts))
	published(t, store, 1, "shop", product("a", "1"))
	require.Equal(t, []string{"1 a 1 7", "2 a 1 7", "2 b 2 7"}, rows(t, db, allProducts))

	store, db = newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"), product("b", "2"))
	published(t, store, 2, "shop", product("b", "2"), product("c", "3")) // the last complete job
	partly := func(id int64) {
		_, err := publishRecords(t.Context(), store, id, "shop", product("c", "3"), product("d", "cheap"))
		require.NoError(t, err)
	}
	partly(3)
	db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - interval '50 days'`)
	require.Equal(t, 2, removeOld(t, store, r))
	partly(4)
	require.Equal(t, []string{"1 a 1 7 f", "2 b 2 7 t", "4 c 3 7 t"}, rows(t, db,
		`SELECT concat_ws(' ', scrapingjob_id, url, price, "in Stock", active) FROM products ORDER BY url`),
		"rows stay as active as they were")
}

// The removing worker's file may differ from the one that the table was created for.
func TestRowsOfARemovedImportAreDeletedByTheModeOfTheirTable(t *testing.T) {
	t.Parallel()
	r := postgres.Retention{Records: day, NeverDeleted: true}
	both := func() (*postgres.Store, *sqlx.DB) {
		store, db := newMapped(t, products+"key: [url]\n    mode: replace-job\n")
		publishedAgo(t, store, db, 1, "shop", 50)
		publishedAgo(t, store, db, 2, "shop", 40)
		published(t, store, 2, "shop", product("c", "3"))
		return store, db
	}
	store, db := both()
	migrated(t, db, upsert)
	require.Equal(t, 1, removeOld(t, store, r))
	require.Equal(t, []string{"1 a 1 7", "1 b 2 7", "2 c 3 7"}, rows(t, db, allProducts), "an upserted row is the only one with its key")

	_, db = both()
	require.Equal(t, 1, removeOld(t, postgres.NewStore(db, parsed(t, strings.Replace(upsert, "table: products", "table: goods", 1))), r))
	require.Equal(t, []string{"2 c 3 7"}, rows(t, db, allProducts), "the sitemap is now mapped to another table")

	store, db = both()
	db.MustExec(`DROP TABLE products`)
	require.Equal(t, 1, removeOld(t, store, r))
}

// auditRemovals makes PostgreSQL refuse to remove what must stay according to
// docs/configuration.md, with a number of imports to keep as the only rule.
const auditRemovals = `
CREATE FUNCTION scrapehaul.audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    job scrapehaul.scraping_jobs;
BEGIN
    SELECT * INTO job FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = NEW.scrapingjob_id;
    IF OLD.state <> 'published' OR job.published_import_id IS DISTINCT FROM NEW.import_id THEN
        RAISE EXCEPTION 'import %% was not published', NEW.import_id;
    ELSIF EXISTS (SELECT FROM scrapehaul.imports WHERE scrapingjob_id = NEW.scrapingjob_id AND state = 'importing') THEN
        RAISE EXCEPTION 'job %% is imported again', NEW.scrapingjob_id;
    ELSIF job.status = 'finished' AND job.cloud_deleted_at IS NULL THEN
        RAISE EXCEPTION 'job %% is to be deleted in the cloud', NEW.scrapingjob_id;
    ELSIF NEW.announce AND NEW.announced_at IS NULL THEN
        RAISE EXCEPTION 'import %% is not announced', NEW.import_id;
    ELSIF job.status = 'finished' AND NOT EXISTS (SELECT FROM scrapehaul.scraping_jobs AS other
            WHERE other.sitemap_name = job.sitemap_name AND other.status = 'finished' AND other.published_import_id IS NOT NULL
              AND other.scrapingjob_id > job.scrapingjob_id) THEN
        RAISE EXCEPTION 'job %% is the last finished one of sitemap %%', NEW.scrapingjob_id, job.sitemap_name;
    ELSIF (SELECT count(*) FROM scrapehaul.scraping_jobs AS other JOIN scrapehaul.imports AS newer ON newer.import_id = other.published_import_id
            WHERE other.sitemap_name = job.sitemap_name AND newer.published_at >= NEW.published_at AND newer.import_id <> NEW.import_id) < %d THEN
        RAISE EXCEPTION 'import %% is among the last ones of sitemap %%', NEW.import_id, job.sitemap_name;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE OF state ON scrapehaul.imports FOR EACH ROW WHEN (NEW.state = 'removed') EXECUTE FUNCTION scrapehaul.audit()`

// Jobs whose published import is incomplete.
const partlyThere = `
SELECT count(*) FROM (
    SELECT FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
    LEFT JOIN scrapehaul.import_records AS record ON record.import_id = job.published_import_id
    GROUP BY import.import_id HAVING count(record.record_number) <> import.records
) AS jobs`

// Three goroutines import jobs of two sitemaps repeatedly, while two remove old imports.
func TestRetentionNeverRemovesWhatMustStay(t *testing.T) {
	t.Parallel()
	const keep = 2
	store, db := newStore(t)
	db.MustExec(fmt.Sprintf(auditRemovals, keep))
	var importing, others sync.WaitGroup
	ended, end := context.WithCancel(t.Context())
	defer end()
	var pass atomic.Int64
	seed := rand.Uint64()
	for i := range int64(3) {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		importing.Go(func() {
			for range 60 {
				importAtRandom(t, store, random, 1+i+3*random.Int64N(4), int(pass.Add(1)))
			}
		})
	}
	r := postgres.Retention{KeepImports: keep}
	var removed atomic.Int64
	remove := func() {
		old, err := store.OldImports(context.Background(), r)
		if !assert.NoError(t, err) {
			return
		}
		for _, each := range old {
			gone, err := store.RemoveImport(context.Background(), each, func() {})
			if assert.NoError(t, err, "seed %d", seed) && gone {
				removed.Add(1)
			}
		}
		jobs, err := store.JobsWithUnneededRecords(context.Background())
		assert.NoError(t, err)
		for _, id := range jobs {
			assert.NoError(t, store.RemoveUnneeded(context.Background(), id, func(int64) {}))
		}
	}
	for i := range 3 {
		others.Go(func() {
			for ended.Err() == nil {
				if i < 2 {
					remove()
					continue
				}
				var partly int
				assert.NoError(t, db.Get(&partly, partlyThere))
				assert.Zero(t, partly, "seed %d", seed)
			}
		})
	}
	importing.Wait()
	end()
	others.Wait()
	remove()
	require.Positive(t, removed.Load(), "seed %d", seed)
	require.Empty(t, oldJobs(t, store, r), "removal ends")
	require.Zero(t, count(t, db, partlyThere))
	require.Zero(t, count(t, db, `SELECT count(*) FROM scrapehaul.import_records AS record JOIN scrapehaul.imports USING (import_id) WHERE state NOT IN ('published', 'importing')`))
}

// importAtRandom imports a job, and may stop after any step. Odd and even jobs are of two
// sitemaps; every fifth is stopped.
func importAtRandom(t *testing.T, store *postgres.Store, random *rand.Rand, id int64, pass int) {
	ctx := context.Background()
	request := ofJob(id, request(pass, int64(1+random.IntN(30))))
	request.Job.SitemapName = fmt.Sprint("shop ", id%2)
	request.Announce = random.IntN(4) == 0
	if id%5 == 0 {
		request.Job.Status = "stopped"
	}
	attempt, err := store.BeginImport(ctx, request)
	if !assert.NoError(t, err) {
		return
	}
	batch := attempt.NewBatch()
	for n := range request.Bytes {
		batch.Add(n+1, fmt.Appendf(nil, plain, n))
	}
	batch.EndsAt(request.Bytes, request.Bytes)
	if !assert.NoError(t, commitBatch(ctx, attempt, batch)) || random.IntN(5) == 0 || !assert.NoError(t, attempt.Publish(ctx, func() {})) {
		return
	}
	if random.IntN(3) > 0 {
		assert.NoError(t, store.SetCloudDeleted(ctx, id))
	}
	if random.IntN(3) > 0 {
		assert.NoError(t, store.SetAnnounced(ctx, attempt.ID(), ""))
	}
}

// The last finished job is re-imported as a stopped one, so the previous one becomes the latest
// and stays.
func TestAnImportThatBecomesTheLatestDuringItsRemovalStays(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	publishedAgo(t, store, db, 1, "shop", 20)
	publishedAgo(t, store, db, 2, "shop", 10)
	old := oldImports(t, store, postgres.Retention{Records: day, NeverDeleted: true})
	require.Len(t, old, 1)
	publishing, err := db.Beginx()
	require.NoError(t, err)
	defer func() { _ = publishing.Rollback() }()
	publishing.MustExec(`UPDATE scrapehaul.scraping_jobs SET status = 'stopped' WHERE scrapingjob_id = 2`)
	publishing.MustExec(`SELECT FROM scrapehaul.sitemap_views WHERE sitemap_name = 'shop' FOR UPDATE`)
	removed := make(chan bool, 1)
	go func() {
		gone, err := store.RemoveImport(context.Background(), old[0], func() {})
		assert.NoError(t, err)
		removed <- gone
	}()
	require.Eventually(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, publishing.Commit())
	require.False(t, <-removed)
	require.Equal(t, []string{"1"}, rows(t, db, `SELECT DISTINCT scrapingjob_id FROM sitemaps_latest.shop`))
}
