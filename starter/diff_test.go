package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// publishRecords publishes a job of the sitemap.
func publishRecords(t *testing.T, db *sqlx.DB, account, sitemap string, id int64, records ...string) {
	t.Helper()
	n := int64(len(records))
	attempt, err := postgres.NewStore(db, nil).BeginImport(t.Context(), sink.ImportRequest{
		Job:           sink.ScrapingJob{ScrapingJobID: id, Account: account, SitemapName: sitemap, Status: "finished", StoredRecordCount: n},
		WorkflowRunID: "run", RequestedAt: time.Now(), Bytes: n, SHA256: "abc",
	})
	require.NoError(t, err)
	batch := attempt.NewBatch()
	for i, record := range records {
		batch.Add(int64(i+1), []byte(record))
	}
	batch.EndsAt(n, n)
	batches := []sink.Batch{batch, nil}
	require.NoError(t, attempt.CommitBatches(t.Context(), 1, func(context.Context) (sink.Batch, error) {
		next := batches[0]
		batches = batches[1:]
		return next, nil
	}, func(sink.Batch) {}))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
}

// trailingSpace is what a table pads empty cells with.
var trailingSpace = regexp.MustCompile(`(?m) +$`)

func TestDiffShowsChanges(t *testing.T) {
	_, db := migrated(t, webscrapertest.Options{})
	publishRecords(t, db, "", "books", 1,
		`{"link":"/a","title":"A","price":"1"}`, `{"link":"/b","price":"2"}`, `{"link":"/c"}`, `{"link":"/c"}`)
	publishRecords(t, db, "", "books", 2,
		`{"link":"/a","title":"<A, \"or\"\tB>","price":"3"}`, `{"link":"/d","price":"4","in stock":true}`, `{"link":"/c"}`)
	publishRecords(t, db, "acme", "books", 3, `{"link":"/a"}`)
	publishRecords(t, db, "acme", "books", 4)
	for _, setting := range []string{"WEBSCRAPER_API_TOKEN", "WEBSCRAPER_API_BASE_URI"} {
		t.Setenv(setting, "") // it needs only the database
	}
	diff := func(arguments ...string) (out, notes string) {
		t.Helper()
		code, out, notes := runStarter(append([]string{"diff"}, arguments...)...)
		require.Equal(t, program.ExitOK, code, notes)
		return out, notes
	}
	out, notes := diff("books", "--key", "link")
	require.Equal(t, `CHANGE     KEY  COLUMN   OLD  NEW
changed    /a   price    1    3
changed    /a   title    A    <A, "or" B>
new        /d
duplicate  /c   records  2    1
gone       /b
`, trailingSpace.ReplaceAllString(out, ""))
	const summary = "1 new, 1 gone, 1 changed; 1 keys not compared (duplicate or incomplete)\n"
	require.Equal(t, "from job 1 to job 2:\n"+summary, notes)

	out, _ = diff("books", "--key", "link", "--csv")
	require.Equal(t, `change,key,column,old,new,old_record_number,new_record_number
changed,/a,price,1,3,1,1
changed,/a,title,A,"<A, ""or""	B>",1,1
new,/d,in stock,,true,,2
new,/d,link,,/d,,2
new,/d,price,,4,,2
duplicate,/c,records,2,1,3,3
gone,/b,link,/b,,2,
gone,/b,price,2,,2,
`, out)
	out, notes = diff("books", "--key", "link", "--json", "--limit", "2")
	require.Equal(t, `{"change":"changed","key":{"link":"/a"},"old_record_number":1,"new_record_number":1,"old":{"price":"1","title":"A"},"new":{"price":"3","title":"<A, \"or\"\tB>"}}
{"change":"new","key":{"link":"/d"},"new_record_number":2,"new":{"link":"/d","price":"4","in stock":true}}
`, out)
	require.Equal(t, "from job 1 to job 2:\n"+summary+"2 more: starter diff --limit 0\n", notes)

	out, notes = diff("books", "--key", "title,link", "--older", "2", "--newer", "1", "--csv", "--limit", "1")
	require.Contains(t, notes, "from job 2 to job 1:\n")
	require.Contains(t, out, "new,\"/a, A\",link,,/a,,1\n")
	for _, arguments := range [][]string{{"acme:books"}, {"books", "--account", "acme"}} {
		out, notes = diff(append(arguments, "--key", "link")...)
		require.Equal(t, "CHANGE  KEY  COLUMN  OLD  NEW\ngone    /a\n", trailingSpace.ReplaceAllString(out, ""))
		require.Contains(t, notes, "from job 3 to job 4:\n0 new, 1 gone, 0 changed;")
	}
}

func TestDiffReportsWhatIsMissing(t *testing.T) {
	_, db := migrated(t, webscrapertest.Options{})
	publishRecords(t, db, "", "books", 1, `{"link":"/a"}`)
	for want, arguments := range map[string][]string{
		`no job of sitemap "shoes" is published. `:                               {"shoes"},
		`starter diff --key product-link-href`:                                   {"books"},
		`sitemap "books" has no column "href". Its columns are {link}`:           {"books", "--key", "href"},
		`sitemap "books" has no other finished, published job before 1. Two job`: {"books", "--key", "link"},
	} {
		code, out, problems := runStarter(append([]string{"diff"}, arguments...)...)
		require.Equal(t, program.ExitFailed, code)
		require.Empty(t, out)
		require.Contains(t, problems, want)
	}
	code, _, problems := runStarter("diff", "books", "--json", "--csv")
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "--json and --csv can't be used together")
	programtest.SetEnvironment(t, nil)
	code, _, problems = runStarter("diff", "books", "--limit=-1", "--account", "A")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, "DATABASE_URL is", "--limit is -1", `--account names the account "A"`)
}

// A table's rows are aligned a thousand at a time.
func TestDiffOfManyChangesIsComplete(t *testing.T) {
	_, db := migrated(t, webscrapertest.Options{})
	var records []string
	for i := range 2500 {
		records = append(records, fmt.Sprintf(`{"link":"/%d","text":"%080d"}`, i, i))
	}
	publishRecords(t, db, "", "books", 1)
	publishRecords(t, db, "", "books", 2, records...)
	code, out, notes := runStarter("diff", "books", "--key", "link,text", "--limit", "0")
	require.Equal(t, program.ExitOK, code)
	require.Contains(t, notes, "2500 new")
	require.Equal(t, 1+2500, strings.Count(out, "\n"))
	require.Contains(t, out, fmt.Sprintf("/2499, %080d ", 2499), "a key is not shortened")
	_, out, notes = runStarter("diff", "books", "--key", "link,text")
	require.Equal(t, 1+200, strings.Count(out, "\n"))
	require.Contains(t, notes, "2300 more: starter diff --limit 0\n")
	_, out, _ = runStarter("diff", "books", "--key", "link,text", "--json")
	require.Equal(t, 2500, strings.Count(out, "\n"), "JSON output is complete")
}
