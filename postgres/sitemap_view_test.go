package postgres_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// publishRecords publishes a job of the sitemap with these records. "acme:my-sitemap" is a
// sitemap of account acme.
func publishRecords(ctx context.Context, store *postgres.Store, id int64, sitemap string, records ...string) (sink.Import, error) {
	return publishEnded(ctx, store, id, sitemap, "finished", records...)
}

// publishEnded is publishRecords for a job that ended with the status.
func publishEnded(ctx context.Context, store *postgres.Store, id int64, sitemap, status string, records ...string) (sink.Import, error) {
	account, name, named := strings.Cut(sitemap, ":")
	if !named {
		account, name = "", sitemap
	}
	now := time.Now()
	attempt, err := store.BeginImport(ctx, sink.ImportRequest{
		Job: sink.ScrapingJob{
			ScrapingJobID: id, Account: account, SitemapName: name, Status: status, StoredRecordCount: int64(len(records)),
		},
		WorkflowRunID: now.String(), RequestedAt: now, Bytes: int64(len(records)), SHA256: "abc",
	})
	if err != nil {
		return nil, err
	}
	batch := attempt.NewBatch()
	for i, record := range records {
		batch.Add(int64(i+1), []byte(record))
	}
	batch.EndsAt(int64(len(records)), int64(len(records)))
	if err := commitBatch(ctx, attempt, batch); err != nil {
		return nil, err
	}
	return attempt, attempt.Publish(ctx, func() {})
}

func published(t *testing.T, store *postgres.Store, id int64, sitemap string, records ...string) {
	t.Helper()
	attempt, err := publishRecords(t.Context(), store, id, sitemap, records...)
	require.NoError(t, err)
	require.Empty(t, attempt.Problem())
}

// columns returns the columns of a view in schema sitemaps, in order.
func columns(t *testing.T, db *sqlx.DB, view string) (names []string) {
	t.Helper()
	require.NoError(t, db.Select(&names, `SELECT attname FROM pg_attribute
		WHERE attrelid = to_regclass(format('sitemaps.%I', $1::text)) AND attnum > 0 ORDER BY attnum`, view))
	return names
}

// rows returns the rows of a query as text.
func rows(t *testing.T, db *sqlx.DB, query string, args ...any) (all []string) {
	t.Helper()
	result, err := db.Query(query, args...)
	require.NoError(t, err)
	defer func() { require.NoError(t, result.Close()) }()
	names, err := result.Columns()
	require.NoError(t, err)
	for result.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, result.Scan(into...))
		texts := make([]string, len(values))
		for i, value := range values {
			if texts[i] = "NULL"; value.Valid {
				texts[i] = value.String
			}
		}
		all = append(all, strings.Join(texts, "|"))
	}
	require.NoError(t, result.Err())
	return all
}

// ofRecord are the first columns of a new view.
var ofRecord = []string{"scrapingjob_id", "record_number", "imported_at", "account", "time_created", "scraping_duration"}

func TestASitemapIsAViewWithItsColumns(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "my-sitemap",
		`{"web-scraper-order":"1-1","web-scraper-start-url":"u","title":"Tab","price":"$1"}`,
		`{"web-scraper-order":"1-2","web-scraper-start-url":"u","title":null,"price":{"n":1}}`)
	require.Equal(t, append(ofRecord[:6:6], "web_scraper_order", "web_scraper_start_url", "title", "price"), columns(t, db, "my-sitemap"))
	require.Equal(t, []string{"Tab|$1", `NULL|{"n": 1}`}, rows(t, db, `SELECT title, price FROM sitemaps."my-sitemap" ORDER BY record_number`))

	// A later export: another spelling and order, one column more and one less.
	published(t, store, 2, "my-sitemap", `{"color":"red","web_scraper_order":"2-1","price":"$2"}`)
	published(t, store, 3, "another", `{"title":"no"}`)
	require.Equal(t, append(ofRecord[:6:6], "web_scraper_order", "web_scraper_start_url", "title", "price", "color"), columns(t, db, "my-sitemap"))
	require.Equal(t, []string{"1|1-1|Tab|$1|NULL", `1|1-2|NULL|{"n": 1}|NULL`, "2|2-1|NULL|$2|red"},
		rows(t, db, `SELECT scrapingjob_id, web_scraper_order, title, price, color FROM sitemaps."my-sitemap" ORDER BY scrapingjob_id, record_number`))

	published(t, store, 4, "empty")
	require.Equal(t, ofRecord, columns(t, db, "empty"))

	published(t, store, 1, "my-sitemap", `{"title":"again"}`)
	require.Equal(t, []string{"again"}, rows(t, db, `SELECT title FROM sitemaps."my-sitemap" WHERE scrapingjob_id = 1`), "the last publication")
}

func TestViewsSayWhenAJobWasScraped(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	for id, created := range map[int64]int64{1: 1_700_000_000, 2: 0} {
		scraped := request(1, 2)
		scraped.Job = sink.ScrapingJob{ScrapingJobID: id, SitemapName: "my-sitemap", Status: "finished", StoredRecordCount: 2, TimeCreated: created, ScrapingDuration: created / 1e9 * 90}
		attempt := begin(t, store, scraped)
		require.NoError(t, commit(t, attempt, 2, 2, `{"a":"%d"}`))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		found, err := store.PublishedImports(t.Context(), []int64{id})
		require.NoError(t, err)
		require.Equal(t, created, found[id].TimeCreated)
		require.Equal(t, scraped.Job.ScrapingDuration, found[id].ScrapingDuration)
	}
	const times = `SELECT DISTINCT scrapingjob_id, extract(epoch FROM time_created)::bigint, scraping_duration FROM %s ORDER BY 1`
	for _, view := range []string{`sitemaps."my-sitemap"`, `scrapehaul.scraped_records`} {
		require.Equal(t, []string{"1|1700000000|90", "2|NULL|NULL"}, rows(t, db, fmt.Sprintf(times, view)))
	}
}

func TestLatestIsTheLastFinishedJobOfASitemap(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	latest := func() []string {
		return rows(t, db, `SELECT scrapingjob_id, a FROM sitemaps_latest."my-sitemap" ORDER BY record_number`)
	}
	ended := func(id int64, status string) {
		_, err := publishEnded(t.Context(), store, id, "my-sitemap", status, `{"a":"1"}`, `{"a":"2"}`)
		require.NoError(t, err)
	}
	ended(3, "stopped")
	require.Empty(t, latest())
	published(t, store, 5, "my-sitemap", `{"a":"1"}`, `{"a":"2"}`)
	require.Equal(t, []string{"5|1", "5|2"}, latest())
	published(t, store, 4, "my-sitemap", `{"a":"older, imported later"}`)
	published(t, store, 9, "another", `{"a":"of another sitemap"}`)
	published(t, store, 10, "acme:my-sitemap", `{"a":"of another account"}`)
	ended(6, "stopped")
	ended(7, "failed")
	require.Equal(t, []string{"5|1", "5|2"}, latest())
	published(t, store, 5, "my-sitemap", `{"a":"again","b":"a column more"}`)
	require.Equal(t, []string{"5|again"}, latest())
	require.Equal(t, columns(t, db, "my-sitemap"), strings.Split(rows(t, db, `SELECT string_agg(attname, '|' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'sitemaps_latest."my-sitemap"'::regclass AND attnum > 0`)[0], "|"))
	published(t, store, 8, "my-sitemap")
	require.Empty(t, latest(), "a finished job without records is the latest, too")
	require.Equal(t, []string{"10|of another account"}, rows(t, db, `SELECT scrapingjob_id, a FROM sitemaps_latest."acme:my-sitemap"`))
}

// Jobs end, run again and are re-imported concurrently. Each record has the number of its job's
// records.
func TestReadersAlwaysSeeTheCompleteLatestJob(t *testing.T) {
	t.Parallel()
	const jobs, times = 6, 8
	store, db := newStore(t)
	published(t, store, 1, "my-sitemap", `{"of":"1"}`)
	statuses := [jobs + 1]string{1: "finished"}
	var publishing sync.WaitGroup
	for id := int64(2); id <= jobs; id++ {
		random := rand.New(rand.NewPCG(0, uint64(id)))
		publishing.Go(func() {
			for range times {
				n := 1 + random.IntN(50)
				statuses[id] = []string{"finished", "finished", "stopped", "failed"}[random.IntN(4)]
				_, err := publishEnded(context.Background(), store, id, "my-sitemap", statuses[id], slices.Repeat([]string{fmt.Sprintf(`{"of":"%d"}`, n)}, n)...)
				assert.NoError(t, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { publishing.Wait(); close(done) }()
	latest := func() string {
		found := rows(t, db, `SELECT scrapingjob_id, of::bigint = count(*) AND count(*) = count(DISTINCT record_number) AS complete
			FROM sitemaps_latest."my-sitemap" GROUP BY scrapingjob_id, of`)
		require.Len(t, found, 1, "records of one job")
		id, complete, _ := strings.Cut(found[0], "|")
		require.Equal(t, "true", complete)
		return id
	}
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
			latest()
		}
	}
	last := int64(jobs)
	for statuses[last] != "finished" {
		last--
	}
	require.Equal(t, strconv.FormatInt(last, 10), latest())
}

func TestAnyNameCanBeASitemapOrAColumn(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	long := strings.Repeat("prix-à-l'unité-", 6) // 63 bytes end within a character
	odd := []string{`a"b`, `c'd\e`, "ünïcödé ☃ 家", " ", "scrapingjob_id", "account", "Title", "title", "ctid", "a.b", "%I", "$1", long + "1", long + "2", long + "3"}
	record := make([]string, 0, len(odd)+1)
	for i, name := range odd {
		record = append(record, fmt.Sprintf(`%q:"%d"`, name, i))
	}
	record = append(record, `"":"none"`)
	for i, sitemap := range append(odd[:len(odd):len(odd)], "My Sitemap", "my sitemap") {
		published(t, store, int64(i+1), sitemap, "{"+strings.Join(record, ",")+"}")
	}
	names := columns(t, db, "My Sitemap")[len(ofRecord):]
	require.Equal(t, []string{`a"b`, `c'd\e`, "ünïcödé ☃ 家", " ", "scrapingjob_id_2", "account_2", "Title", "title", "ctid", "a.b", "%I", "$1"}, names[:12])
	for i, suffix := range []string{"", "_2", "_3"} {
		name := names[12+i]
		require.LessOrEqual(t, len(name), 63)
		require.True(t, strings.HasPrefix(long, strings.TrimSuffix(name, suffix)), name)
	}
	require.Equal(t, "unnamed", names[15])

	views := rows(t, db, `SELECT view_name FROM scrapehaul.sitemap_views`)
	require.Len(t, views, len(odd)+2)
	for _, view := range views {
		require.Len(t, columns(t, db, view), len(ofRecord)+len(odd)+1, view)
	}
	values := rows(t, db, `SELECT * FROM sitemaps."My Sitemap"`)
	require.Len(t, values, 1)
	require.True(t, strings.HasSuffix(values[0], "|0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|none"), values[0])
}

// A value in the view equals that of ->>, byte for byte, also for a record that is compressed and
// stored out of line.
func TestValuesOfAViewEqualThoseOfTheRecord(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	var long strings.Builder
	for i := range 5000 {
		fmt.Fprint(&long, i*i*7919, `\n☃`)
	}
	values := []string{
		`""`, `" a\tb\n\"c\" \\ \u00e9 ☃ "`, `"null"`, `"{}"`, `null`, `true`, `false`, `0`, `-0`, `1.10`, `1e2`, `-12345678901234567890.123456789`, `1e-20`,
		`{}`, `[]`, `[1, "a", null, {"b": [true]}]`, `{"long":1,"b":{"a":" \u00e9"}}`,
		`"` + strings.Repeat(`short when compressed, \u00e9 `, 400) + `"`, `"` + long.String() + `"`,
	}
	var all strings.Builder
	names := append([]string{""}, `a"b`, `c'd\e`, strings.Repeat("é", 40), strings.Repeat("é", 41))
	for i, value := range values {
		name := fmt.Sprint("column ", i)
		if i < len(names) {
			name = names[i]
		}
		fmt.Fprintf(&all, `,%q:%s`, name, value)
	}
	records := []string{"{" + all.String()[1:] + "}", `{"web-scraper-order":1}`, `{"web_scraper_order":null,"web-scraper-order":"older"}`, `{"web_scraper_order":"","web-scraper-order":"older"}`, `{}`}
	for _, value := range values {
		records = append(records, `{"one":`+value+`}`)
	}
	published(t, store, 1, "my-sitemap", records...)

	var view struct {
		Columns pq.StringArray
		Names   pq.StringArray `db:"column_names"`
	}
	require.NoError(t, db.Get(&view, `SELECT columns, column_names FROM scrapehaul.sitemap_views`))
	require.Len(t, view.Columns, len(values)+2)
	for i, column := range view.Columns {
		value := "data ->> " + pq.QuoteLiteral(column)
		if column == "web_scraper_order" {
			value = "web_scraper_order"
		}
		require.Equal(t, int64(len(records)), count(t, db, fmt.Sprintf(`
			SELECT count(*) FROM sitemaps."my-sitemap" AS view JOIN scrapehaul.scraped_records AS record USING (scrapingjob_id, record_number)
			WHERE convert_to(view.%s, 'UTF8') IS NOT DISTINCT FROM convert_to(record.%s, 'UTF8')`, pq.QuoteIdentifier(view.Names[i]), value)), column)
	}
	require.Equal(t, []string{"text"}, rows(t, db, `SELECT DISTINCT format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = 'sitemaps."my-sitemap"'::regclass AND attnum > 6`))
	require.Equal(t, []string{"NULL", "1", "older", "older", "NULL"}, rows(t, db, `SELECT web_scraper_order FROM sitemaps."my-sitemap" ORDER BY record_number LIMIT 5`))
}

func TestARecordWithBothSpellingsHasOneValueEverywhere(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"web-scraper-order", "web_scraper_order"} {
		store, db := newMapped(t, goods(`{name: scraped, from: `+from+`, type: text}`, "mode: replace-job"))
		published(t, store, 1, "shop",
			`{"web-scraper-order":"1","web_scraper_order":"2"}`, `{"web_scraper_order":"2","web-scraper-order":"1"}`,
			`{"web-scraper-order":null,"web_scraper_order":"2"}`, `{"web_scraper_order":null,"web-scraper-order":"1"}`,
			`{"web_scraper_order":"2"}`, `{"web-scraper-order":""}`, `{"web_scraper_order":"2","web-scraper-order":null}`, `{"a":"1"}`)
		want := []string{"1", "1", "2", "1", "2", "", "2", "NULL"}
		require.Equal(t, want, rows(t, db, `SELECT web_scraper_order FROM scrapehaul.scraped_records ORDER BY record_number`))
		require.Equal(t, want, rows(t, db, `SELECT web_scraper_order FROM sitemaps.shop ORDER BY record_number`))
		require.ElementsMatch(t, want, rows(t, db, `SELECT scraped FROM goods`), from)
	}
}

// plan returns PostgreSQL's plan for a query of a large table.
func plan(t *testing.T, db *sqlx.DB, query string) string {
	t.Helper()
	tx, err := db.Beginx()
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	tx.MustExec(`SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0`)
	var lines []string
	require.NoError(t, tx.Select(&lines, `EXPLAIN (VERBOSE, COSTS OFF) `+query))
	return strings.Join(lines, "\n")
}

func TestAViewUnpacksARecordOnceAndOnlyIfNeeded(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	records := slices.Repeat([]string{`{"web-scraper-order":"1","a":"1","b":"2"}`}, 300)
	for id := range int64(40) {
		published(t, store, id+1, fmt.Sprint("sitemap ", id%2), records...)
	}
	require.Eventually(t, func() (visible bool) { // another test's transaction may hold it up
		db.MustExec(`VACUUM ANALYZE scrapehaul.import_records`)
		require.NoError(t, db.Get(&visible, `SELECT relallvisible >= relpages FROM pg_class WHERE oid = 'scrapehaul.import_records'::regclass`))
		return visible
	}, time.Minute, 100*time.Millisecond)
	db.MustExec(`ANALYZE scrapehaul.scraping_jobs`)

	full := plan(t, db, `SELECT * FROM sitemaps."sitemap 1"`)
	require.Contains(t, full, "(unpacked.data ->> 'a'::text)")
	require.NotContains(t, full, "'{}'::jsonb) ->>", "once, not for each column")
	require.Regexp(t, `Join\n +Output: .*\(record\.data \|\| `, full, "only this sitemap's records")
	ofJob := plan(t, db, `SELECT * FROM sitemaps."sitemap 1" WHERE scrapingjob_id = 2`)
	require.Regexp(t, "Index Scan (using|on) import_records_pkey", ofJob)
	require.Contains(t, ofJob, "Index Cond: (record.import_id = job.published_import_id)")
	require.Contains(t, plan(t, db, `SELECT b FROM sitemaps."sitemap 1" WHERE scrapingjob_id = 2 AND record_number = 3`),
		"Index Cond: ((record.import_id = job.published_import_id) AND (record.record_number = 3))")
	require.Contains(t, plan(t, db, `SELECT max(a), max(b) FROM sitemaps."sitemap 1"`), "Gather")
	counted := plan(t, db, `SELECT count(*) FROM sitemaps."sitemap 1"`)
	require.NotContains(t, counted, "data")
	require.Contains(t, counted, "Index Only Scan using import_records_pkey")
}

// Most sitemap names belong to one account, so the conditions on name and account are not
// independent. "shared" belongs to two, most of its jobs to one.
func TestThePlannerKnowsHowManyRecordsASitemapOfAnAccountHas(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 10_001, "account-1:sitemap 1", `{"a":"1"}`)
	published(t, store, 10_002, "account-2:shared", `{"a":"1"}`)
	db.MustExec(`
		INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, account, sitemap_name, published_import_id)
		SELECT n, 'account-' || CASE WHEN n % 40 = 0 AND n % 400 <> 0 THEN 2 ELSE n % 4 END,
		       CASE n % 40 WHEN 0 THEN 'shared' ELSE 'sitemap ' || n % 40 END, 10 + n FROM generate_series(1, 1000) AS n;
		INSERT INTO scrapehaul.import_records SELECT 10 + n, number, '{"a":"1"}' FROM generate_series(1, 1000) AS n, generate_series(1, 100) AS number`)
	db.MustExec(`VACUUM ANALYZE scrapehaul.import_records`)
	db.MustExec(`ANALYZE scrapehaul.scraping_jobs`)
	for query, want := range map[string]int{
		`sitemaps."account-1:sitemap 1"`:                                                        2501,
		`sitemaps."account-1:sitemap 1" WHERE account = 'account-1'`:                            2501,
		`sitemaps."account-2:shared"`:                                                           2301,
		`scrapehaul.scraped_records WHERE sitemap_name = 'sitemap 1' AND account = 'account-1'`: 2501,
	} {
		require.Equal(t, int64(want), count(t, db, `SELECT count(*) FROM `+query))
		var plan string
		require.NoError(t, db.Get(&plan, `EXPLAIN (FORMAT JSON) SELECT * FROM `+query))
		var plans []struct {
			Plan struct {
				Rows float64 `json:"Plan Rows"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(plan), &plans))
		require.InEpsilon(t, want, plans[0].Plan.Rows, 0.1, query)
	}
}

func TestSitemapsOfTwoAccountsHaveAViewEach(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	long := strings.Repeat("long", 15)
	for i, sitemap := range []string{"my-sitemap", "acme:my-sitemap", "globex:my-sitemap", "acme:" + long + "-1", "acme:" + long + "-2"} {
		published(t, store, int64(i+1), sitemap, fmt.Sprintf(`{"title":"%d","account":"scraped %[1]d"}`, i+1))
	}
	for view, want := range map[string]string{
		"my-sitemap": "1|default|1|scraped 1", "acme:my-sitemap": "2|acme|2|scraped 2", "globex:my-sitemap": "3|globex|3|scraped 3",
		"acme:" + long[:58]: "4|acme|4|scraped 4", "acme:" + long[:56] + "_2": "5|acme|5|scraped 5",
	} {
		require.Equal(t, append(ofRecord[:6:6], "title", "account_2"), columns(t, db, view))
		require.Equal(t, []string{want}, rows(t, db, `SELECT scrapingjob_id, account, title, account_2 FROM sitemaps.`+pq.QuoteIdentifier(view)), view)
	}
	require.Equal(t, []string{"acme|2", "default|1", "globex|3"},
		rows(t, db, `SELECT account, scrapingjob_id FROM scrapehaul.scraped_records WHERE sitemap_name = 'my-sitemap' ORDER BY account`))

	published(t, store, 6, "acme:my-sitemap", `{"more":"6"}`)
	require.NotContains(t, columns(t, db, "my-sitemap"), "more")
	require.Equal(t, []string{"2|NULL", "6|6"}, rows(t, db, `SELECT scrapingjob_id, more FROM sitemaps."acme:my-sitemap" ORDER BY 1`))

	// A relation with that name that is not ours.
	db.MustExec(`CREATE TABLE sitemaps."initech:my-sitemap" ()`)
	attempt, err := publishRecords(t.Context(), store, 7, "initech:my-sitemap", `{"title":"7"}`)
	require.NoError(t, err)
	require.Contains(t, attempt.Problem(), `making view sitemaps."initech:my-sitemap": "initech:my-sitemap" is not a view`)
	require.Equal(t, attempt.Problem(), problemOf(t, db, "initech"))
	db.MustExec(`DROP TABLE sitemaps."initech:my-sitemap"`)
	problems, err := store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"7"}, rows(t, db, `SELECT title FROM sitemaps."initech:my-sitemap"`))
}

func problemOf(t *testing.T, db *sqlx.DB, account string) string {
	t.Helper()
	found, err := postgres.Examine(t.Context(), db)
	require.NoError(t, err)
	require.Len(t, found.ViewProblems, 1)
	require.Equal(t, found.ViewProblems, rows(t, db, `SELECT problem FROM scrapehaul.sitemap_views WHERE account = $1`, account))
	return found.ViewProblems[0]
}

func TestAPublishedJobKeepsItsAccount(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	_, err := store.BeginImport(t.Context(), ofSitemap("my-sitemap", request(1, 3)))
	require.NoError(t, err)
	published(t, store, jobID, "acme:my-sitemap", `{"title":"1"}`)
	_, err = publishRecords(t.Context(), store, jobID, "globex:my-sitemap", `{"title":"2"}`)
	require.ErrorIs(t, err, sink.ErrSuperseded)
	require.Equal(t, []string{"acme|1"}, rows(t, db, `SELECT account, title FROM sitemaps."acme:my-sitemap"`))
	require.Equal(t, []string{"acme"}, rows(t, db, `SELECT account FROM scrapehaul.sitemap_views`))
	imports, err := store.PublishedImports(t.Context(), []int64{jobID})
	require.NoError(t, err)
	require.Equal(t, "acme", imports[jobID].Account)
	publication, err := store.Publication(t.Context(), imports[jobID].ImportID)
	require.NoError(t, err)
	require.Equal(t, "acme", publication.Account)
	history, err := store.History(t.Context(), postgres.HistoryQuery{Limit: 9})
	require.NoError(t, err)
	require.Equal(t, "acme", history[0].Account)
}

func TestARecordWithTooManyColumnsIsPublished(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	var record strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&record, `,"column %d":"%d"`, n, n)
	}
	published(t, store, 1, "wide", "{"+record.String()[1:]+"}")
	require.Len(t, columns(t, db, "wide"), len(ofRecord)+1500)
	require.Equal(t, []string{"1999"}, rows(t, db, `SELECT data ->> 'column 1999' FROM scrapehaul.scraped_records`))
}

func TestColumnsSurviveTheEndOfAnAttempt(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	first := begin(t, store, request(1, 20))
	require.NoError(t, commit(t, first, 1, 10, `{"b":"%d"}`))
	lost := first.NewBatch() // never committed
	lost.Add(11, []byte(`{"lost":"1"}`))

	second := begin(t, store, request(1, 20))
	require.NoError(t, commit(t, second, 11, 20, `{"a":"%d","b":"1"}`))
	require.NoError(t, second.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"b", "a"}, columns(t, db, "my-sitemap")[len(ofRecord):])
}

func TestJobsOfOneSitemapCanBePublishedConcurrently(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	var all sync.WaitGroup
	for id := range int64(24) {
		all.Go(func() {
			for pass := range 3 {
				sitemap := fmt.Sprintf("%s-%d", strings.Repeat("long", 20), id%3)
				attempt, err := publishRecords(t.Context(), store, id+1, sitemap, fmt.Sprintf(`{"column %d":"1","of %d":"2"}`, id%5, pass))
				if assert.NoError(t, err) {
					assert.Empty(t, attempt.Problem())
				}
			}
		})
	}
	all.Wait()
	views := rows(t, db, `SELECT view_name FROM scrapehaul.sitemap_views`)
	require.Len(t, views, 3, "the names share their first 63 bytes")
	for _, view := range views {
		require.ElementsMatch(t, []string{"column 0", "column 1", "column 2", "column 3", "column 4", "of 0", "of 1", "of 2"}, columns(t, db, view)[len(ofRecord):])
	}
}

func TestAViewThatCannotBeRefreshedIsRefreshedLater(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "my-sitemap", `{"a":"1"}`)
	reader, err := db.Beginx()
	require.NoError(t, err)
	t.Cleanup(func() { _ = reader.Rollback() })
	_, err = reader.Exec(`SELECT * FROM sitemaps."my-sitemap"`)
	require.NoError(t, err)

	request := ofSitemap("my-sitemap", ofJob(2, request(1, 3)))
	attempt := begin(t, store, request)
	require.NoError(t, commit(t, attempt, 3, 3, `{"a":"2","b":"%d"}`))
	require.NoError(t, attempt.Publish(t.Context(), func() {}), "the records are published")
	require.Contains(t, attempt.Problem(), `making view sitemaps."my-sitemap": canceling statement due to lock timeout`)
	require.Equal(t, attempt.Problem(), begin(t, store, request).Problem(), "a retry has the problem too")
	require.Equal(t, []string{"1", "2"}, rows(t, db, `SELECT a FROM sitemaps."my-sitemap" ORDER BY a`))
	reports := 0
	problems, err := store.RefreshSitemapViews(t.Context(), func() { reports++ })
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.Positive(t, reports, "many such views take long")

	require.NoError(t, reader.Rollback())
	problems, err = store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"1|NULL", "2|3"}, rows(t, db, `SELECT a, b FROM sitemaps."my-sitemap" ORDER BY a`))
	require.Equal(t, []string{"NULL"}, rows(t, db, `SELECT problem FROM scrapehaul.sitemap_views`))
}

// While workers of a later version with more facts are being rolled out.
func TestAViewOfALaterVersionIsLeftUnchanged(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "my-sitemap", `{"a":"1"}`)
	db.MustExec(`UPDATE scrapehaul.sitemap_views SET fact_names = '{account,time_created,scraping_duration,later}';
		CREATE OR REPLACE VIEW sitemaps."my-sitemap" AS
		SELECT 0::bigint AS scrapingjob_id, 0::bigint AS record_number, now() AS imported_at, '' AS account,
		       now() AS time_created, 0::bigint AS scraping_duration, '' AS a, '' AS later`)
	published(t, store, 2, "my-sitemap", `{"a":"2"}`)
	attempt, err := publishRecords(t.Context(), store, 3, "my-sitemap", `{"b":"3"}`)
	require.NoError(t, err)
	require.Contains(t, attempt.Problem(), `making view sitemaps."my-sitemap": cannot`)
	require.Equal(t, []string{"{account,time_created,scraping_duration,later}|1"}, rows(t, db, `SELECT fact_names, in_view FROM scrapehaul.sitemap_views`))
	require.Equal(t, "later", columns(t, db, "my-sitemap")[7])
}

func TestARoleWithoutSchemaSitemapsStillImports(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	admin := connect(t, url)
	role := fmt.Sprintf("importer_%d", time.Now().UnixNano())
	admin.MustExec(`CREATE ROLE ` + role)
	t.Cleanup(func() { admin.MustExec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role) })
	admin.MustExec(`CREATE SCHEMA scrapehaul AUTHORIZATION ` + role)
	db := connect(t, url+"&options=-c%20role%3D"+role)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)

	store := postgres.NewStore(db, nil)
	attempt, err := publishRecords(t.Context(), store, 1, "my-sitemap", `{"a":"1"}`)
	require.NoError(t, err)
	require.Contains(t, attempt.Problem(), `schema "sitemaps" does not exist`)
	require.Equal(t, int64(1), count(t, db, visible))

	admin.MustExec(`CREATE SCHEMA sitemaps AUTHORIZATION ` + role)
	problems, err := store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"1"}, rows(t, db, `SELECT a FROM sitemaps."my-sitemap"`))

	admin.MustExec(`CREATE SCHEMA sitemaps_latest AUTHORIZATION ` + role)
	problems, err = store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"1"}, rows(t, db, `SELECT a FROM sitemaps_latest."my-sitemap"`))
}
