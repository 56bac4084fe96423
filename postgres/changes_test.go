package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
)

const allChanges = `SELECT change, key, old_record_number, new_record_number, old, new FROM scrapehaul.changes`

func TestChangesListsNewGoneAndChangedRecords(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "shop",
		`{"web-scraper-order":"1-1","web-scraper-start-url":"u","link":"/a","price":"1","color":"red","size":{"b":null}}`,
		`{"web-scraper-order":"1-2","web-scraper-start-url":"u","link":"/b","price":"2"}`,
		`{"web-scraper-order":"1-3","web-scraper-start-url":"u","link":"/c","price":"3","color":null}`,
		`{"web-scraper-order":"1-4","web-scraper-start-url":"u","link":"/d","price":1.0,"color":7}`)
	// The other spelling, and records and columns in another order.
	published(t, store, 2, "shop",
		`{"web_scraper_order":"2-1","web_scraper_start_url":"v","price":1,"link":"/d","color":"7"}`,
		`{"web_scraper_order":"2-2","web_scraper_start_url":"v","price":"3","link":"/c"}`,
		`{"web_scraper_order":"2-3","web_scraper_start_url":"v","price":"5","link":"/e"}`,
		`{"web_scraper_order":"2-4","web_scraper_start_url":"v","price":"2","link":"/a","stock":"9","size":{}}`)
	published(t, store, 3, "acme:shop", `{"link":"/a","price":"of another account"}`)
	published(t, store, 4, "acme:shop", `{"link":"/a","price":"of another account, too"}`)
	published(t, store, 5, "shops", `{"link":"/a","price":"of another sitemap"}`)
	require.Equal(t, []string{
		`changed|{"link": "/d"}|4|1|{"price": 1.0}|{"price": 1}`, // as the views have it
		`new|{"link": "/e"}|NULL|3|NULL|{"link": "/e", "price": "5"}`,
		`changed|{"link": "/a"}|1|4|{"size": {"b": null}, "color": "red", "price": "1", "stock": null}|{"size": {}, "color": null, "price": "2", "stock": "9"}`,
		`gone|{"link": "/b"}|2|NULL|{"link": "/b", "price": "2"}|NULL`,
	}, rows(t, db, allChanges+`('shop', '{link}')`))
	require.Equal(t, []string{
		`changed|{"link": "/a"}|4|1|{"size": {}, "color": null, "price": "2", "stock": "9"}|{"size": {"b": null}, "color": "red", "price": "1", "stock": null}`,
		`new|{"link": "/b"}|NULL|2|NULL|{"link": "/b", "price": "2"}`,
		`changed|{"link": "/d"}|1|4|{"price": 1}|{"price": 1.0}`,
		`gone|{"link": "/e"}|3|NULL|{"link": "/e", "price": "5"}|NULL`,
	}, rows(t, db, allChanges+`('shop', key => '{link}', newer => 1, older => 2)`), "in either order")
	for _, call := range []string{`('acme:shop', '{link}')`, `('shop', '{link}', account => 'acme')`} {
		require.Equal(t, []string{`changed|{"link": "/a"}|1|1|{"price": "of another account"}|{"price": "of another account, too"}`}, rows(t, db, allChanges+call))
	}
	require.Empty(t, rows(t, db, allChanges+`('shop', '{link}', older => 2, newer => 2)`))
	require.Equal(t, []string{"v|changed|4"}, rows(t, db, `SELECT key ->> 'web_scraper_start_url', change, (old ->> 'records') FROM
		(SELECT key, 'changed' AS change, new AS old FROM scrapehaul.changes('shop', '{web_scraper_start_url}') WHERE new ->> 'records' <> '0') AS x`),
		"a built-in column of the key has both spellings")
}

func TestDuplicateKeysAreReportedAndNotCompared(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "shop",
		`{"shop":"x","sku":"1","n":"1"}`, `{"shop":"y","sku":"1","n":"2"}`, `{"shop":"y","sku":"1","n":"3"}`,
		`{"shop":"y","n":"4"}`, `{"shop":"z","sku":1,"n":"5"}`, `{"shop":"z","sku":"1","n":"6"}`, `{"sku":"2","n":"7"}`)
	published(t, store, 2, "shop",
		`{"shop":"x","sku":"1","n":"10"}`, `{"shop":"y","sku":"1","n":"2"}`, `{"shop":null,"sku":"2","n":"7"}`, `{"shop":"n","sku":"1"}`, `{"shop":"n","sku":"1"}`)
	require.Equal(t, []string{
		`changed|{"sku": "1", "shop": "x"}|1|1|{"n": "1"}|{"n": "10"}`,
		`duplicate|{"sku": "1", "shop": "y"}|2|2|{"records": 2}|{"records": 1}`,
		`duplicate|{"sku": "2", "shop": null}|7|3|{"records": 1}|{"records": 1}`,
		`duplicate|{"sku": "1", "shop": "n"}|NULL|4|{"records": 0}|{"records": 2}`,
		`duplicate|{"sku": null, "shop": "y"}|4|NULL|{"records": 1}|{"records": 0}`,
		`duplicate|{"sku": "1", "shop": "z"}|5|NULL|{"records": 2}|{"records": 0}`,
	}, rows(t, db, allChanges+`('shop', '{shop,sku}')`))
}

// PostgreSQL's jsonb_hash is the same for both records.
func TestSwappedValuesAreAChange(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	var before, after []string
	for i := range 40 {
		is := map[int]int{0: 16, 16: 0}
		becomes, exchanged := is[i]
		if !exchanged {
			becomes = i
		}
		before = append(before, fmt.Sprintf(`"c%02d":"%d"`, i, i))
		after = append(after, fmt.Sprintf(`"c%02d":"%d"`, i, becomes))
	}
	published(t, store, 1, "shop", `{"k":"1",`+strings.Join(before, ",")+`}`)
	published(t, store, 2, "shop", `{"k":"1",`+strings.Join(after, ",")+`}`)
	require.Equal(t, []string{"1"}, rows(t, db, `SELECT count(DISTINCT jsonb_hash(data)) FROM scrapehaul.import_records`))
	require.Equal(t, []string{`changed|{"k": "1"}|1|1|{"c00": "0", "c16": "16"}|{"c00": "16", "c16": "0"}`}, rows(t, db, allChanges+`('shop', '{k}')`))
}

func TestChangesFindsTheTwoJobs(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	ended := func(id int64, status string) {
		ended := ofSitemap("shop", ofJob(id, request(1, 1)))
		ended.Job.Status = status
		attempt := begin(t, store, ended)
		require.NoError(t, commit(t, attempt, 1, 1, fmt.Sprintf(`{"link":"/a","n":"%%d of job %d"}`, id)))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
	}
	compared := func(arguments string) string {
		t.Helper()
		found := rows(t, db, `SELECT old ->> 'n', new ->> 'n' FROM scrapehaul.changes('shop', '{link}'`+arguments+`)`)
		require.Len(t, found, 1)
		return strings.ReplaceAll(found[0], "1 of job ", "")
	}
	ended(3, "finished")
	ended(5, "finished")
	ended(1, "finished") // imported late
	ended(6, "stopped")
	require.Equal(t, "3|5", compared(``))
	require.Equal(t, "1|3", compared(`, newer => 3`))
	require.Equal(t, "1|5", compared(`, older => 1`))
	require.Equal(t, "5|6", compared(`, newer => 6`), "an unfinished job if named")
	require.Equal(t, "6|3", compared(`, newer => 3, older => 6`))
}

func TestChangesErrorsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 7, "one", `{"link":"/a","na,me":"x"}`)
	published(t, store, 8, "acme:one", `{"link":"/a"}`)
	published(t, store, 9, "removed", `{"link":"/a"}`)
	published(t, store, 10, "removed", `{"link":"/a"}`)
	db.MustExec(`UPDATE scrapehaul.scraping_jobs SET published_import_id = NULL WHERE scrapingjob_id = 9`)
	for call, want := range map[string][2]string{
		`'two', '{link}'`:                              {`no job of sitemap "two" is published`, `scrapehaul.sitemap_views has the names`},
		`'one', '{link}', account => 'globex'`:         {`no job of sitemap "globex:one" is published`, `their accounts`},
		`'globex:one'`:                                 {`no job of sitemap "globex:one" is published`, ``},
		`'one'`:                                        {`it is not known which columns tell the records of sitemap "one" apart`, `Its columns are {link,"na,me"}`},
		`'one', '{}'`:                                  {`it is not known which columns`, `starter diff --key`},
		`'one', '{link,product}'`:                      {`sitemap "one" has no column "product"`, `Its columns are {link,"na,me"}`},
		`'one', '{link,NULL}'`:                         {`has no column "NULL"`, `Its columns are`},
		`'one', '{link}'`:                              {`sitemap "one" has no other finished, published job before 7`, `name them by older and newer`},
		`'one', '{link}', older => 7`:                  {`sitemap "one" has no other finished, published job after 7`, ``},
		`'one', '{link}', older => 8, newer => 7`:      {`scraping job 8 is not known as one of sitemap "one"`, `scrapehaul.scraping_jobs`},
		`'one', '{link}', older => 7, newer => 99`:     {`scraping job 99 is not known as one of sitemap "one"`, ``},
		`'removed', '{link}', older => 9`:              {`the records of scraping job 9 were removed`, `starter reimport 9`},
		`'removed', '{link}'`:                          {`no other finished, published job before 10`, ``},
		`'acme:one', '{link}', older => 8, newer => 7`: {`scraping job 7 is not known as one of sitemap "acme:one"`, ``},
	} {
		_, err := db.Exec(`SELECT scrapehaul.changes(` + call + `)`)
		require.ErrorContains(t, err, want[0], call)
		require.Contains(t, pq.As(err).Hint, want[1], call)
	}
	_, err := store.ComparedJobs(t.Context(), postgres.ChangesQuery{Sitemap: "one"})
	require.ErrorContains(t, err, `apart. Name them (key => '{product-link-href}', starter diff --key product-link-href), or`)
}

// withKey returns a store whose mappings file gives sitemap shop a key.
func withKey(t *testing.T, db *sqlx.DB) *postgres.Store {
	t.Helper()
	mappings, err := mapping.Parse("mappings.yaml", []byte("sitemaps:\n  - sitemap: shop\n    key: [link]\n"))
	require.NoError(t, err)
	return postgres.NewStore(db, mappings)
}

const comparisons = `SELECT scrapingjob_id, compared_import_id, new_records, gone_records, changed_records, duplicate_keys FROM scrapehaul.imports ORDER BY import_id`

func TestImportsAreComparedWithThePreviousJob(t *testing.T) {
	t.Parallel()
	without, db := newStore(t)
	store := withKey(t, db)
	published(t, without, 1, "shop", `{"link":"/a","n":"1"}`, `{"link":"/b","n":"1"}`, `{"link":"/c","n":"1"}`)
	published(t, without, 2, "shop", `{"link":"/a","n":"2"}`, `{"link":"/d","n":"1"}`, `{"link":"/d","n":"2"}`)
	published(t, without, 3, "acme:shop", `{"link":"/a"}`)
	require.Equal(t, []string{"1|NULL|NULL|NULL|NULL|NULL", "2|NULL|NULL|NULL|NULL|NULL", "3|NULL|NULL|NULL|NULL|NULL"}, rows(t, db, comparisons), "without a key")

	published(t, store, 5, "shop", `{"link":"/a","n":"2"}`, `{"link":"/d","n":null}`, `{"link":"/e"}`)
	published(t, store, 4, "shop", `{"link":"/a","n":"2"}`, `{"link":"/e"}`) // imported late
	published(t, store, 5, "shop", `{"link":"/a","n":"3"}`, `{"link":"/f"}`)
	require.Equal(t, []string{"5|2|1|0|0|1", "4|2|1|0|0|1", "5|5|1|1|1|0"}, rows(t, db, comparisons)[3:])

	problems, err := store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"1|NULL|NULL|NULL|NULL|NULL", "2|1|0|2|1|1"}, rows(t, db, comparisons)[:2], "reconciliation catches up")

	db.MustExec(`UPDATE scrapehaul.imports SET state = 'abandoned' WHERE import_id = 4`) // not part of the history
	history, err := store.SitemapHistory(t.Context(), "default", "shop", 2)
	require.NoError(t, err)
	require.Len(t, history, 2, "the last ones")
	require.Equal(t, [2]int64{4, 5}, [2]int64{history[0].ScrapingJobID, history[1].ScrapingJobID})
	require.Equal(t, int64(6), history[1].ImportID)
	require.Equal(t, int64(2), history[1].Records)
	require.Equal(t, [5]int64{5, 1, 1, 1, 0}, [5]int64{history[1].ComparedImportID.Int64, history[1].New, history[1].Gone, history[1].Changed, history[1].DuplicateKeys})
	history, err = store.SitemapHistory(t.Context(), "acme", "shop", 30)
	require.NoError(t, err)
	require.Len(t, history, 1)
	require.False(t, history[0].ComparedImportID.Valid)
	all, err := store.History(t.Context(), postgres.HistoryQuery{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, int64(1), all[0].New)
}

func TestReconciliationComparesTheLastThirtyImportsOfASitemap(t *testing.T) {
	t.Parallel()
	without, db := newStore(t)
	for id := range int64(34) {
		published(t, without, id+1, "shop", fmt.Sprintf(`{"link":"/a","n":"%d"}`, id))
	}
	published(t, withKey(t, db), 35, "shop", `{"link":"/a","n":"35"}`)
	_, err := without.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Equal(t, []string{"6|35|30"}, rows(t, db, `SELECT min(scrapingjob_id), max(scrapingjob_id), sum(changed_records) FROM scrapehaul.imports WHERE compared_import_id IS NOT NULL`))
}

func TestAFailedComparisonFailsNoImport(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	store := withKey(t, db)
	db.MustExec(`ALTER FUNCTION scrapehaul.changes_query RENAME TO other`)
	published(t, store, 1, "shop", `{"link":"/a"}`)
	published(t, store, 2, "shop", `{"link":"/a"}`)
	problems, err := store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err, "reconciliation does not fail either")
	require.Len(t, problems, 1)
	require.Contains(t, problems[0], "comparing import 2 with import 1: ")
	db.MustExec(`ALTER FUNCTION scrapehaul.other RENAME TO changes_query`)
	problems, err = store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, "2|1|0|0|0|0", rows(t, db, comparisons)[1])
}

// viewOfJob returns the job's rows of the view by their keys, without the job's columns.
func viewOfJob(t *testing.T, db *sqlx.DB, sitemap string, id int64) map[string]string {
	byKey := map[string]string{}
	for _, row := range rows(t, db, fmt.Sprintf(`SELECT k, l, a, b, "web_scraper_x" FROM sitemaps.%s WHERE scrapingjob_id = %d`, pq.QuoteIdentifier(sitemap), id)) {
		parts := strings.SplitN(row, "|", 3)
		byKey[parts[0]+"|"+parts[1]] = parts[2]
	}
	return byKey
}

func TestApplyingChangesToTheOlderJobYieldsTheNewerOne(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	var last atomic.Int64
	columns := []string{"k", "l", "a", "b", "web_scraper_x"}
	value := rapid.SampledFrom([]string{``, `null`, `""`, `"1"`, `1`, `1.0`, `true`, `"é\t"`, `{"c":null}`, `{}`, `[1]`})
	keys := rapid.SampledFrom([]string{``, `null`, `"1"`, `1`, `"2"`, `"3"`, `""`})
	record := rapid.Custom(func(t *rapid.T) string {
		members := []string{fmt.Sprintf(`%q:%q`, rapid.SampledFrom([]string{"web-scraper-order", "web_scraper_order"}).Draw(t, "spelling"), rapid.StringMatching(`\d-\d`).Draw(t, "order"))}
		for i, column := range columns {
			from := value
			if i < 2 {
				from = keys
			}
			if drawn := from.Draw(t, column); drawn != "" {
				members = append(members, fmt.Sprintf(`%q:%s`, column, drawn))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	})
	const all = `{"k":"0","l":"0","a":"","b":"","web_scraper_x":""}` // so that the view has all columns
	rapid.Check(t, func(r *rapid.T) {
		n := last.Add(2)
		sitemap := fmt.Sprint("random ", n)
		for id := n; id < n+2; id++ {
			_, err := publishRecords(t.Context(), store, id, sitemap, append(rapid.SliceOfN(record, 0, 12).Draw(r, "records"), all)...)
			require.NoError(r, err)
		}
		text := func(value any) string {
			var text *string
			written, err := json.Marshal(value)
			require.NoError(r, err)
			require.NoError(r, db.Get(&text, `SELECT $1::jsonb #>> '{}'`, string(written)))
			if text == nil {
				return "NULL"
			}
			return *text
		}
		got, want := viewOfJob(t, db, sitemap, n), viewOfJob(t, db, sitemap, n+1)
		counted := map[string]int{}
		for _, id := range []int64{n, n + 1} {
			for _, row := range rows(t, db, `SELECT count(*), k, l FROM sitemaps.`+pq.QuoteIdentifier(sitemap)+` WHERE scrapingjob_id = $1 GROUP BY k, l`, id) {
				records, key, _ := strings.Cut(row, "|")
				if records != "1" || strings.Contains(key, "NULL") {
					counted[key] = 1
				}
			}
		}
		require.NoError(r, store.Changes(t.Context(), postgres.ChangesQuery{Sitemap: sitemap, Key: []string{"k", "l"}, Older: n, Newer: n + 1}, func(change postgres.RecordChange) error {
			var key map[string]any
			require.NoError(r, json.Unmarshal(change.Key, &key))
			of := text(key["k"]) + "|" + text(key["l"])
			decode := func(from json.RawMessage) (into map[string]json.RawMessage) {
				if len(from) > 0 {
					require.NoError(r, json.Unmarshal(from, &into))
				}
				return into
			}
			before, after := decode(change.Old), decode(change.New)
			switch change.Change {
			case "duplicate":
				require.Contains(r, counted, of)
				delete(counted, of)
				delete(got, of)
				delete(want, of)
			case "gone":
				require.Contains(r, got, of)
				delete(got, of)
			case "new", "changed":
				require.NotContains(r, after, "web_scraper_order")
				cells := []string{"NULL", "NULL", "NULL"}
				if change.Change == "changed" {
					cells = strings.Split(got[of], "|")
				} else {
					require.NotContains(r, got, of)
				}
				for i, column := range columns[2:] {
					if is, ok := before[column]; ok && change.Change == "changed" {
						require.Equal(r, cells[i], text(is), "the old value")
					}
					if becomes, ok := after[column]; ok {
						require.True(r, change.Change == "new" || cells[i] != text(becomes), "it has changed")
						cells[i] = text(becomes)
					}
				}
				got[of] = strings.Join(cells, "|")
			}
			return nil
		}))
		require.Empty(r, counted, "all duplicate keys are reported")
		require.Equal(r, want, got)
	})
}
