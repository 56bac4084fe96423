package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// listener receives a database's publications.
type listener struct {
	*pq.Listener
	t *testing.T
}

func listen(t *testing.T, databaseURL string) listener {
	t.Helper()
	l := pq.NewListener(databaseURL, time.Second, time.Minute, nil)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	require.NoError(t, l.Listen("scrapehaul_published"))
	return listener{l, t}
}

// next returns the next payload.
func (l listener) next() string {
	l.t.Helper()
	select {
	case notification := <-l.Notify:
		return notification.Extra
	case <-time.After(time.Minute):
		require.FailNow(l.t, "no notification arrives")
		return ""
	}
}

// importedFrom imports and publishes a record with these columns.
func importedFrom(t *testing.T, store *postgres.Store, r sink.ImportRequest, columns ...string) sink.Import {
	t.Helper()
	attempt := begin(t, store, r)
	object := map[string]int{}
	for n, column := range columns {
		object[column] = n
	}
	record, err := json.Marshal(object)
	require.NoError(t, err)
	batch := attempt.NewBatch()
	batch.Add(1, record)
	batch.EndsAt(r.Bytes, 1)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	return attempt
}

func TestListenersReceiveEachPublicationOnce(t *testing.T) {
	t.Parallel()
	url := schematest.NewDatabase(t)
	store, db := newStoreOn(t, url)
	l := listen(t, url)

	db.MustExec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON scrapehaul.scraping_jobs DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION refuse()`)
	rolledBack := begin(t, store, request(1, 2))
	require.NoError(t, commit(t, rolledBack, 1, 2, plain))
	require.ErrorContains(t, rolledBack.Publish(t.Context(), func() {}), "not now")
	db.MustExec(`DROP TRIGGER refuse ON scrapehaul.scraping_jobs`)
	_, err := store.Publication(t.Context(), rolledBack.ID())
	require.ErrorContains(t, err, "the import was never published")

	first := begin(t, store, request(1, 2))
	require.NoError(t, first.Publish(t.Context(), func() {}))
	require.NoError(t, first.Publish(t.Context(), func() {}))
	require.NoError(t, begin(t, store, request(1, 2)).Publish(t.Context(), func() {}), "a retry")
	second := importedFrom(t, store, request(2, 9), "price", "url")
	restored := request(3, 9)
	restored.Restored, restored.Job.CustomID = true, ""
	third := importedFrom(t, store, restored, "url")

	for _, want := range []sink.Publication{
		{ImportID: first.ID(), Kind: sink.FirstImport, Counts: sink.Counts{Records: 2}, Columns: []string{"web_scraper_order", "product"}, CustomID: "custom-12"},
		{ImportID: second.ID(), ReplacedImportID: first.ID(), Kind: sink.Reimport, Counts: sink.Counts{Records: 1}, Columns: []string{"price", "url"}, CustomID: "custom-12"},
		{ImportID: third.ID(), ReplacedImportID: second.ID(), Kind: sink.Restore, Counts: sink.Counts{Records: 1}, Columns: []string{"url"}},
	} {
		var heard sink.Publication
		require.NoError(t, json.Unmarshal([]byte(l.next()), &heard))
		want.ScrapingJobID, want.Account, want.SitemapID, want.SitemapName, want.Status = jobID, sink.DefaultAccount, 12, "my-sitemap", "finished"
		want.PublishedAt = heard.PublishedAt
		require.Equal(t, want, heard)

		publication, err := store.Publication(t.Context(), want.ImportID)
		require.NoError(t, err)
		want.CustomID, publication.CustomID = "", "" // comes from the currently published import
		require.Equal(t, want, *publication, "it can be read later as well")
	}
	require.Empty(t, l.Notify)
}

func TestAWithheldImportSendsNoNotification(t *testing.T) {
	t.Parallel()
	url := schematest.NewDatabase(t)
	_, db := newStoreOn(t, url)
	store := mapped(t, db, deactivate)
	l := listen(t, url)
	_, err := publishRecords(t.Context(), store, 1, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
	require.NoError(t, err)
	_, err = publishRecords(t.Context(), store, 2, "shop", product("a", "1"))
	require.ErrorContains(t, err, "deactivate")
	_, err = publishRecords(t.Context(), store, 3, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
	require.NoError(t, err)
	for _, job := range []int64{1, 3} {
		require.Contains(t, l.next(), fmt.Sprintf(`"scrapingjob_id":%d,`, job))
	}
	require.Empty(t, l.Notify)
}

func TestNotificationsOmitLongNames(t *testing.T) {
	t.Parallel()
	url := schematest.NewDatabase(t)
	store, _ := newStoreOn(t, url)
	l := listen(t, url)
	var columns []string
	for n := range 40 {
		columns = append(columns, fmt.Sprintf("%02d%s", n, strings.Repeat("ü", 249))) // 500 bytes
	}
	for pass, c := range []struct {
		columns               []string
		customID, sitemapName int
		heard                 []bool // which of these are sent
	}{
		{columns[:15], 100, 100, []bool{true, true, true}},
		{columns[:16], 100, 100, []bool{false, true, true}},
		{columns, 7_000, 100, []bool{false, true, true}},
		{columns, 8_000, 100, []bool{false, false, true}},
		{columns, 8_000, 9_000, []bool{false, false, false}},
	} {
		r := request(pass+1, 9)
		r.Job.CustomID, r.Job.SitemapName = strings.Repeat("c", c.customID), strings.Repeat("s", c.sitemapName)
		attempt := importedFrom(t, store, r, c.columns...)
		text := l.next()
		require.Less(t, len(text), 8000)
		var heard sink.Publication
		require.NoError(t, json.Unmarshal([]byte(text), &heard))
		require.Equal(t, attempt.ID(), heard.ImportID)
		require.Equal(t, c.heard, []bool{len(heard.Columns) > 0, heard.CustomID != "", heard.SitemapName != ""}, "pass %d", pass)

		publication, err := store.Publication(t.Context(), attempt.ID())
		require.NoError(t, err)
		require.Equal(t, c.columns[:min(len(c.columns), 16<<10/500)], publication.Columns)
		require.Equal(t, r.Job.SitemapName, publication.SitemapName)
	}
}

func TestSetAnnouncedAddsToTheImportsProblem(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.MustExec(`DROP SCHEMA sitemaps`)
	attempt := importedFrom(t, store, request(1, 9), "url")
	problem := attempt.Problem()
	require.NotEmpty(t, problem)
	for _, added := range []string{"", "no such namespace", "no such namespace", "no webhook"} {
		require.NoError(t, store.SetAnnounced(t.Context(), attempt.ID(), added))
	}
	require.Equal(t, problem+"; no such namespace; no webhook", begin(t, store, request(1, 9)).Problem())
	require.NoError(t, store.SetAnnounced(t.Context(), 999, "of an import that was deleted"))
}
