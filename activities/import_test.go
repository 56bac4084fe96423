package activities_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// committedBatches counts the transactions that committed the current records.
const committedBatches = `SELECT count(DISTINCT xmin::text) FROM scrapehaul.import_records`

func TestImportCommitsInBatchesAndPublishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	var heartbeats []activities.Progress
	env := w.environment()
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var progress activities.Progress
		if err := details.Get(&progress); err != nil {
			t.Errorf("reading a heartbeat: %v", err)
		}
		heartbeats = append(heartbeats, progress)
	})
	result, err := runIn[activities.ImportRecordsResult](w, env, "ImportRecords", in)
	require.NoError(t, err)
	require.NotZero(t, result.ImportID)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 95}, Published: true}, result)
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, int64(10), w.count(committedBatches), "nine of 10 and one of 5")
	require.NotEmpty(t, heartbeats)
	require.Equal(t, in.Bytes, heartbeats[0].OfBytes)
}

func TestLongRecordsMakeSmallerBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := `{"a":"` + strings.Repeat("x", 3<<20) + `"}`
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(long, long, long, long)}), 1)
	in.BatchRecords, in.MaxRecordBytes = 5000, 16<<20
	_, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, int64(4), w.visible())
	require.Equal(t, int64(2), w.count(committedBatches), "8 MiB end a batch")
}

func TestRetryResumesAfterTheLastCommittedBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	w.db.MustExec(`
		CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk of the database is broken' USING ERRCODE = 'io_error'; END $$;
		CREATE TRIGGER fail BEFORE INSERT ON scrapehaul.import_records FOR EACH ROW WHEN (NEW.record_number = 37) EXECUTE FUNCTION fail()`)
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorDatabase, true)
	require.Zero(t, w.visible())
	require.Equal(t, int64(30), w.count(`SELECT records FROM scrapehaul.imports`))
	require.Equal(t, int64(30), w.count(`SELECT count(*) FROM scrapehaul.import_records`))

	w.db.MustExec(`DROP TRIGGER fail ON scrapehaul.import_records`)
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 95}, Published: true}, result)
	require.Equal(t, int64(95), w.count(`SELECT count(DISTINCT web_scraper_order) FROM scrapehaul.scraped_records`))
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.imports`))
	require.Equal(t, int64(10), w.count(committedBatches), "no batch was imported twice")
	require.Equal(t, 1, w.downloads())
}

// A stale attempt at the download may have replaced the file with another of the same
// size: the two must not be mixed.
func TestImportIsNotResumedWithAnotherFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	stop := make(chan struct{})
	close(stop)
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	_, err := runIn[any](w, env, "ImportRecords", in)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)

	path := filepath.Join(w.spool, file)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	content[len(content)-10] ^= 1
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err = w.tryImport(in)
	requireFailure(t, err, activities.ErrorFileGone, false)
	require.Zero(t, w.visible())
}

func TestRetryOfAPublishedImportOnlyReturnsItsResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MustExec(`DROP SCHEMA sitemaps`)
	in, first := w.imported(w.cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(95, 1)}), 1)
	require.Contains(t, first.Problem, `schema "sitemaps" does not exist`)
	_, err := run[any](w, "RemoveFile", activities.RemoveFileInput{File: file})
	require.NoError(t, err)

	again, err := w.tryImport(in) // needs no file
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.imports`))
	require.Equal(t, int64(10), w.count(committedBatches))
}

func TestImportReadsAllLineEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want []string // the values of "n"
	}{
		"blank file":                 {"", nil},
		"only white space":           {"\n \r\n\t\n", nil},
		"only a byte order mark":     {"\uFEFF", nil},
		"byte order mark":            {"\uFEFF" + `{"n":1}` + "\n" + `{"n":2}` + "\n", []string{"1", "2"}},
		"CRLF":                       {`{"n":1}` + "\r\n" + `{"n":2}` + "\r\n", []string{"1", "2"}},
		"blank lines":                {"\n\n" + `{"n":1}` + "\n\r\n  \n" + `{"n":2}` + "\n\n\n", []string{"1", "2"}},
		"no newline at the end":      {`{"n":1}` + "\n" + `{"n":2}`, []string{"1", "2"}},
		"white space around records": {"  " + `{"n":1}` + " \t\n" + ` {"n":2} `, []string{"1", "2"}},
		"all digits of a number":     {`{"n":12345678901234567890.10}` + "\n", []string{"12345678901234567890.10"}},
	} {
		for size, batch := range map[string]int{"in one batch": 1000, "record by record": 1} {
			t.Run(name+" "+size, func(t *testing.T) {
				w := newWorld(t)
				in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(c.body, int64(len(c.want)))}), 1)
				in.BatchRecords = batch
				result, err := w.tryImport(in)
				require.NoError(t, err)
				require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: int64(len(c.want))}, Published: true}, result)
				var got []string
				require.NoError(t, w.db.Select(&got, `SELECT data->>'n' FROM scrapehaul.scraped_records ORDER BY record_number`))
				require.Equal(t, c.want, got)
			})
		}
	}
}

func TestRejectedRecordsAreKeptWithTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := `{"long":"` + strings.Repeat("x", 200_000) + `"}`
	body := strings.Join([]string{`{"n":1}`, long, `{"nul":"\u0000"}`, `[1]`, `{"n":2}`, `{"n":`}, "\n")
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(body, 6)}), 1)
	in.MaxRecordBytes = 100_000
	in.BatchRecords = 2
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 2, Rejected: 4, Cut: 1}, Published: true}, result)

	var rejected []struct {
		Number int64  `db:"record_number"`
		Raw    string `db:"raw"`
		Reason string `db:"reason"`
	}
	require.NoError(t, w.db.Select(&rejected, `SELECT record_number, raw, reason FROM scrapehaul.rejected_records ORDER BY record_number`))
	require.Len(t, rejected, 4)
	for i, want := range []struct {
		number int64
		raw    string
		reason string
	}{
		{2, long[:64<<10], "200011 bytes long, over the limit of 100000 (MAX_RECORD_BYTES)"},
		{3, `{"nul":"\u0000"}`, `\u0000`},
		{4, `[1]`, "an array"},
		{6, `{"n":`, "cut off"},
	} {
		require.Equal(t, want.number, rejected[i].Number)
		require.Equal(t, want.raw, rejected[i].Raw)
		require.Contains(t, rejected[i].Reason, want.reason)
	}
}

func TestImportWithoutItsFileMustStartOver(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"the file is missing": os.Remove,
		"the file is shorter": func(path string) error { return os.Truncate(path, 100) },
		"the file is longer":  func(path string) error { return os.Truncate(path, 100_000) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)}), 1)
			require.NoError(t, spoil(filepath.Join(w.spool, file)))
			_, err := w.tryImport(in)
			requireFailure(t, err, activities.ErrorFileGone, false)
			require.ErrorContains(t, err, file)
			require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.import_records`))
		})
	}
}

// Downloads are not synced to disk. After a host crash, a file of the right size can lack
// some of its content.
func TestImportInAnotherProcessChecksTheFileFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(2000, 1)}), 1)
	path := filepath.Join(w.spool, file)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	w.steps.Spool = openSpool(t, w.spool, 0) // another process

	lost := bytes.Clone(content)
	clear(lost[4096:8192])
	require.NoError(t, os.WriteFile(path, lost, 0o600))
	_, err = w.tryImport(in)
	requireFailure(t, err, activities.ErrorFileGone, false)
	require.ErrorContains(t, err, in.SHA256)
	require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.import_records`))

	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err = w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, int64(2000), w.visible())
}

func TestImportReplacesThePreviousOneAndRemovesItsRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"n":1}`+"\n"+`{"n":2}`+"\n"+`{"n":`, 3)})
	w.imported(id, 1)
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.rejected_records`))
	require.NoError(t, w.cloud.SetRecords(id, webscrapertest.JSONLines(`{"n":3}`, `{"n":4}`, `{"n":5}`)))

	_, result := w.imported(id, 2)
	require.True(t, result.Published)
	require.Equal(t, int64(3), w.visible())
	require.Equal(t, int64(3), w.count(`SELECT count(*) FROM scrapehaul.import_records`))
	require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.rejected_records`))
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.imports WHERE state = 'replaced' AND records_removed_at IS NOT NULL`))
}

func TestEarlierRequestReplacesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	w.imported(id, 2)
	earlier := w.downloaded(id, 1)
	_, err := w.tryImport(earlier)
	requireFailure(t, err, activities.ErrorSuperseded, false)
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.imports`))
	require.Equal(t, int64(20), w.visible())
}

func TestTooFewRecordsAreNotPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(sitemap, status string, records int) activities.ImportRecordsInput {
		t.Helper()
		in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Status: status, Records: webscrapertest.Products(records, 1)}), 1)
		in.MinRecordsPercent = 90
		return in
	}
	published := func(in activities.ImportRecordsInput, want bool) activities.ImportRecordsResult {
		t.Helper()
		result, err := w.tryImport(in)
		require.NoError(t, err)
		require.Equal(t, want, result.Published, result.Reason)
		require.Equal(t, !want, result.Question != nil)
		return result
	}
	published(add("laptops", "finished", 0), true) // the first one
	published(add("laptops", "finished", 100), true)
	published(add("books", "finished", 10), true)
	few := add("laptops", "finished", 89)
	result := published(few, false)
	require.Equal(t, fmt.Sprintf("the import has 89 good records, fewer than 90 %% of the 100 last published for its sitemap, from job %d (MIN_RECORDS_PERCENT); nothing was published",
		few.Job.ScrapingJobID-2), result.Reason)
	require.Equal(t, int64(110), w.visible())
	require.Equal(t, int64(110), w.count(`SELECT count(*) FROM scrapehaul.import_records`), "withheld records are removed")
	published(add("laptops", "stopped", 5), true) // a stopped job naturally has fewer
	published(add("laptops", "finished", 0), false)
	published(add("laptops", "finished", 90), true)
	accepted := add("laptops", "finished", 1)
	accepted.Accepted = []sink.Question{{Kind: sink.TooFewRecords, Worse: -2}}
	published(accepted, false) // accepted for two records
	accepted = add("laptops", "finished", 1)
	accepted.Accepted = []sink.Question{{Kind: sink.TooFewRecords, Worse: -1}}
	published(accepted, true)
	published(add("laptops", "finished", 1), true)
}

func TestEmptyFinishedJobIsWithheldByDefaultAfterOneWithRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pass := 0
	imported := func(sitemap, status string, records webscrapertest.Records, accepted ...sink.Question) (int64, activities.ImportRecordsResult) {
		t.Helper()
		pass++
		in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Status: status, Records: records}), pass)
		in.Accepted = accepted
		result, err := w.tryImport(in)
		require.NoError(t, err)
		require.Equal(t, result.Published, result.Question == nil)
		return in.Job.ScrapingJobID, result
	}
	published := func(sitemap, status string, records webscrapertest.Records, accepted ...sink.Question) int64 {
		t.Helper()
		job, result := imported(sitemap, status, records, accepted...)
		require.True(t, result.Published, result.Reason)
		return job
	}
	none := webscrapertest.Products(0, 1)
	published("laptops", "finished", none) // the first one
	full := published("laptops", "finished", webscrapertest.Products(427, 1))
	published("books", "finished", none)
	published("laptops", "stopped", none)

	_, empty := imported("laptops", "finished", none)
	require.Equal(t, fmt.Sprintf("the import has 0 good records, and the job has stored 0; 427 were last published for its sitemap, from job %d; nothing was published", full), empty.Reason)
	_, rejected := imported("laptops", "finished", webscrapertest.RawBody("a title line\n", 1))
	require.Contains(t, rejected.Reason, "the import has 0 good records, 1 rejected, and the job has stored 1; 427 were last published for its sitemap, from job ")
	require.Contains(t, rejected.Reason, " (record 1: ")
	require.Equal(t, int64(427), w.visible())

	_, another := imported("laptops", "finished", none, sink.Question{Kind: sink.ManyRowsMissing, Worse: 1000})
	require.Equal(t, empty.Question, another.Question)
	published("laptops", "finished", none, *empty.Question)
	published("laptops", "finished", none) // like the one before
}

// requests stores the last request of an import.
type requests struct {
	sink.RecordSink
	last sink.ImportRequest
}

func (r *requests) BeginImport(ctx context.Context, request sink.ImportRequest) (sink.Import, error) {
	r.last = request
	return r.RecordSink.BeginImport(ctx, request)
}

func TestSinkGetsAcceptedQuestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := &requests{RecordSink: w.steps.Sink}
	w.steps.Sink = seen
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	w.imported(id, 1)
	require.Empty(t, seen.last.Accepted)
	question := sink.Question{Kind: sink.EmptyColumns, About: "price"}
	in := w.downloaded(id, 2)
	in.Accepted = []sink.Question{question}
	_, err := w.tryImport(in)
	require.NoError(t, err)
	require.True(t, question.AcceptedIn(seen.last.Accepted))
	require.False(t, sink.Question{Kind: sink.EmptyColumns, About: "url"}.AcceptedIn(seen.last.Accepted))
}

func TestShortDownloadDoesNotReplaceMoreRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		before    int64 // records published before; 0 for none
		stored    int64 // as reported by the API
		download  int64 // records downloaded
		published bool
	}{
		{"none are published before", 0, 20, 15, true},
		{"fewer are published before", 10, 20, 15, true},
		{"as many are published before", 15, 20, 15, true},
		{"more are published before", 16, 20, 15, false},
		{"the download is empty", 1, 20, 0, false},
		{"the job itself has shrunk", 20, 15, 15, false},
	} {
		for _, status := range []string{"finished", "stopped"} {
			t.Run(status+" and "+c.name, func(t *testing.T) {
				w := newWorld(t)
				id := w.cloud.AddJob(webscrapertest.Job{})
				if c.before > 0 {
					require.NoError(t, w.cloud.SetRecords(id, webscrapertest.Products(int(c.before), 1)))
					w.imported(id, 1)
				}
				body := strings.Repeat(`{"short":true}`+"\n", int(c.download))
				require.NoError(t, w.cloud.SetRecords(id, webscrapertest.RawBody(body, c.stored)))
				require.NoError(t, w.cloud.SetStatus(id, status))

				_, result := w.imported(id, 2)
				require.Equal(t, c.published, result.Published)
				require.Equal(t, c.download, result.Records)
				if c.published {
					require.Empty(t, result.Reason)
					require.Equal(t, c.download, w.visible())
				} else {
					require.Equal(t, fmt.Sprintf("the import has %d good records, and the job has stored %d; nothing was published, and queries still return the %d published before",
						c.download, c.stored, c.before), result.Reason)
					require.NotNil(t, result.Question)
					require.Equal(t, c.before, w.visible())
				}
				require.Equal(t, w.visible(), w.count(`SELECT count(*) FROM scrapehaul.import_records`), "nothing else is left")
			})
		}
	}
}

func TestImportNeverReplacesABetterOneUnlessAccepted(t *testing.T) {
	t.Parallel()
	const good, bad = `{"n":1}`, `{"n":`
	lines := func(goods, bads int) webscrapertest.Records {
		body := strings.Repeat(bad+"\n", bads) + strings.Repeat(good+"\n", goods)
		return webscrapertest.RawBody(body, int64(goods+bads))
	}
	for _, c := range []struct {
		name        string
		before, now [2]int // good and bad records
		maxRejected int64
		reason      string // "" when it is published
	}{
		{"all are rejected", [2]int{200, 0}, [2]int{0, 200}, 1000, "the import has 0 good records, 200 rejected, and the job has stored 200 (record 1: "},
		{"some are rejected", [2]int{200, 0}, [2]int{199, 1}, 0, "the import has 199 good records, 1 rejected"},
		{"more are rejected than before, of more", [2]int{200, 3}, [2]int{300, 4}, 0, "the import has 300 good records, 4 rejected"},
		{"a small share is rejected", [2]int{200, 0}, [2]int{400, 4}, 0, ""},
		{"as many are allowed", [2]int{20, 0}, [2]int{20, 4}, 4, ""},
		{"as many were rejected before", [2]int{20, 4}, [2]int{20, 4}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id := w.cloud.AddJob(webscrapertest.Job{Records: lines(c.before[0], c.before[1])})
			w.imported(id, 1)
			require.NoError(t, w.cloud.SetRecords(id, lines(c.now[0], c.now[1])))
			in := w.downloaded(id, 2)
			in.MaxRejected = c.maxRejected
			result, err := w.tryImport(in)
			require.NoError(t, err)
			require.Equal(t, c.reason == "", result.Published, result.Reason)
			if c.reason == "" {
				require.Equal(t, int64(c.now[0]), w.visible())
				return
			}
			require.Contains(t, result.Reason, c.reason)
			require.Contains(t, result.Reason, fmt.Sprintf("; nothing was published, and queries still return the %d published before", c.before[0]))
			require.Equal(t, int64(c.before[0]), w.visible())

			in = w.downloaded(id, 3)
			in.Accepted = []sink.Question{*result.Question}
			accepted, err := w.tryImport(in)
			require.NoError(t, err)
			require.True(t, accepted.Published)
			require.Equal(t, int64(c.now[0]), w.visible())
		})
	}
}

func TestStoppingWorkerCommitsTheCurrentBatchAndReturnsTheImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	stop := make(chan struct{})
	close(stop)
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	_, err := runIn[any](w, env, "ImportRecords", in)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	require.Equal(t, int64(10), w.count(`SELECT records FROM scrapehaul.imports`))
	require.Equal(t, int64(10*520), w.count(`SELECT committed_bytes FROM scrapehaul.imports`))
	require.Zero(t, w.visible())

	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, int64(95), result.Records)
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, int64(10), w.count(committedBatches), "the first batch was not imported twice")
}

func TestImportStoresTheJobAsDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{
		SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12", Records: webscrapertest.Products(5, 1),
	})
	w.imported(id, 1)
	var row struct {
		SitemapID   int64     `db:"sitemap_id"`
		SitemapName string    `db:"sitemap_name"`
		CustomID    string    `db:"custom_id"`
		ImportedAt  time.Time `db:"imported_at"`
	}
	require.NoError(t, w.db.Get(&row, `
		SELECT DISTINCT sitemap_id, sitemap_name, custom_id, imported_at FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.WithinDuration(t, time.Now(), row.ImportedAt, time.Minute)
	require.Equal(t, [3]any{int64(12), "my-sitemap", "custom-12"}, [3]any{row.SitemapID, row.SitemapName, row.CustomID})
}
