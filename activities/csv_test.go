package activities_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const bom = "\uFEFF"

// downloadedFrom is downloaded with a source.
func (w *world) downloadedFrom(source activities.Source, id int64, pass int) activities.ImportRecordsInput {
	w.t.Helper()
	download, err := run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file, Source: source})
	require.NoError(w.t, err)
	return activities.ImportRecordsInput{
		Job: w.describe(id).Job, File: file, Bytes: download.Bytes, SHA256: download.SHA256, Format: download.Format,
		RunID: "run", Pass: pass, RequestedAt: time.Date(2026, 1, 1, 0, 0, pass, 0, time.UTC),
		BatchRecords: 10, MaxRecordBytes: 1 << 20,
	}
}

// downloadedCSV downloads a CSV file of exactly these bytes.
func (w *world) downloadedCSV(body string, storedRecordCount int64) activities.ImportRecordsInput {
	w.t.Helper()
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(body, storedRecordCount)})
	return w.downloadedFrom(activities.Source{Format: activities.FormatCSV}, id, 1)
}

// viewRow is a record as readers see it.
type viewRow struct {
	Number int64   `db:"record_number"`
	Order  *string `db:"web_scraper_order"`
	Data   string  `db:"data"`
}

func (w *world) view() (rows []viewRow) {
	w.t.Helper()
	require.NoError(w.t, w.db.Select(&rows,
		`SELECT record_number, web_scraper_order, data::text AS data FROM scrapehaul.scraped_records ORDER BY record_number`))
	return rows
}

func (w *world) values(column string) (values []string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Select(&values, `SELECT data->>$1 FROM scrapehaul.scraped_records ORDER BY record_number`, column))
	return values
}

// rejectedRecord is a row of rejected_records.
type rejectedRecord struct {
	Number int64  `db:"record_number"`
	Raw    string `db:"raw"`
	Reason string `db:"reason"`
}

func (w *world) rejected() (rejected []rejectedRecord) {
	w.t.Helper()
	require.NoError(w.t, w.db.Select(&rejected, `SELECT record_number, raw, reason FROM scrapehaul.rejected_records ORDER BY record_number`))
	return rejected
}

func TestCSVAndJSONHaveTheSameRecords(t *testing.T) {
	t.Parallel()
	for name, records := range map[string]webscrapertest.Records{
		"products": webscrapertest.Products(95, 1),
		"quoted values": webscrapertest.JSONLines(
			`{"web_scraper_order":"1614248295-1","Größe %*\/":"quotes \" and \"\"","b,c":"commas, <b>&amp;<\/b>"}`,
			`{"web_scraper_order":"1614248295-2","Größe %*\/":"two\nlines\r\nand a \ttab, \\n","b,c":"\u2028 \ud83d\ude00 \u0007"}`,
			`{"web_scraper_order":"1614248295-3","Größe %*\/":"","b,c":"\"\n\"\n"}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.cloud.AddJob(webscrapertest.Job{Records: records})
			fromJSON, _ := w.imported(id, 1)
			want := w.view()
			require.Len(t, want, int(records.Count()))

			fromCSV := w.downloadedFrom(activities.Source{Format: activities.FormatCSV}, id, 2)
			require.NotEqual(t, fromJSON.SHA256, fromCSV.SHA256)
			result, err := w.tryImport(fromCSV)
			require.NoError(t, err)
			require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: records.Count()}, Published: true}, result)
			require.Equal(t, want, w.view())
			require.Equal(t, records.Count(), w.count(`SELECT count(*) FROM scrapehaul.import_records`), "the records from JSON are replaced")
		})
	}
}

// CSV has no types and a value for every column.
func TestAllCSVValuesAreText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(
		`{"a":"","b":null,"c":1.50,"d":true,"e":["x"]}`, `{"a":"only this column"}`)})
	_, err := w.tryImport(w.downloadedFrom(activities.Source{Format: activities.FormatCSV}, id, 1))
	require.NoError(t, err)
	rows := w.view()
	require.Len(t, rows, 2)
	require.JSONEq(t, `{"a":"","b":"","c":"1.50","d":"true","e":"[\"x\"]"}`, rows[0].Data)
	require.JSONEq(t, `{"a":"only this column","b":"","c":"","d":"","e":""}`, rows[1].Data)
}

func TestImportOfCSVResumesAtEveryBatch(t *testing.T) {
	t.Parallel()
	rows := []string{
		`"one"`, "\"two\nlines\"", `"with ""quotes"""`, "\"too many\n\",\"values\"", `""`, "\"\r\n\"\r\n", `"a,b"`, `"too","many"`, `""""`, "\"last\n\"",
	}
	want := []string{"one", "two\nlines", `with "quotes"`, "", "\r\n", "a,b", `"`, "last\n"}
	wrong := []rejectedRecord{
		{4, rows[3], "wrong number of fields: 2 values for 1 columns"},
		{8, rows[7], "wrong number of fields: 2 values for 1 columns"},
	}
	body := bom + "\r\ntext\r\n" + strings.Join(rows, "\r\n") + "\r\n\r\n"
	for _, batch := range []int{1, 2, 3, 7} {
		w := newWorld(t)
		in := w.downloadedCSV(body, int64(len(rows)))
		in.BatchRecords = batch
		stop := make(chan struct{})
		close(stop)
		for committed := batch; committed < len(rows); committed += batch {
			env := w.environment()
			env.SetWorkerStopChannel(stop) // an attempt commits one batch
			_, err := runIn[any](w, env, "ImportRecords", in)
			requireFailure(t, err, activities.ErrorWorkerStopping, true)
			require.Equal(t, int64(committed), w.count(`SELECT last_record_number FROM scrapehaul.imports`))
			w.steps.Spool = openSpool(t, w.spool, 0) // another process
		}
		result, err := w.tryImport(in)
		require.NoError(t, err)
		require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 8, Rejected: 2}, Published: true}, result)
		require.Equal(t, want, w.values("text"))
		require.Equal(t, wrong, w.rejected())
		require.Equal(t, int64(len(body)), w.count(`SELECT committed_bytes FROM scrapehaul.imports`))
	}
}

func TestCSVWithoutRecordsIsAnEmptyImport(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty": "", "only a byte order mark": bom, "only a header": bom + "a,b\r\n", "a header without newline": "a,b", "blank lines": "\r\n\na,b\r\n\r\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result, err := w.tryImport(w.downloadedCSV(body, 0))
			require.NoError(t, err)
			require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Published: true}, result)
			require.Zero(t, w.visible())
		})
	}
}

func TestRejectedRowsAreKeptWithTheReason(t *testing.T) {
	t.Parallel()
	long := `"x","` + strings.Repeat("long\n", 40_000) + `"`
	rows := []string{
		`"1","first"`, long, `"only one"`, "\"\xff\",\"not UTF-8\"", `"2","second"`, `"3"x,"misplaced"`, `3"x,bare`, "\"<b>\",\"\x00\"", `"4","third"`, "\"5\",\"cut in the va",
	}
	w := newWorld(t)
	in := w.downloadedCSV("n,text\r\n"+strings.Join(rows, "\r\n"), int64(len(rows)))
	in.MaxRecordBytes = 100_000
	in.BatchRecords = 2
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 3, Rejected: 7, Cut: 1}, Published: true}, result)
	require.Equal(t, []string{"first", "second", "third"}, w.values("text"))

	rejected := w.rejected()
	require.Len(t, rejected, 7)
	for i, want := range []rejectedRecord{
		{2, long[:64<<10], "200006 bytes long, over the limit of 100000 (MAX_RECORD_BYTES)"},
		{3, rows[2], "wrong number of fields: 1 values for 2 columns"},
		{4, rows[3], `the record is not valid UTF-8 in column "n"`},
		{6, rows[5], `extraneous or missing " in quoted-field, value 1`},
		{7, rows[6], `bare " in non-quoted-field, value 1`},
		{8, `{"n":"<b>","text":"\u0000"}`, rejected[5].Reason}, // refused as JSON
		{10, rows[9], `extraneous or missing " in quoted-field, value 2`},
	} {
		require.Equal(t, want, rejected[i])
	}
	require.Contains(t, rejected[5].Reason, `\u0000`)
}

func TestSourceSelectsTheDownload(t *testing.T) {
	t.Parallel()
	parsed, unparsed := `{"price":"9.99"}`, `{"price":"$9.99"}`
	for _, test := range []struct {
		source        activities.Source
		path, content string
	}{
		{activities.Source{}, "/json", parsed + "\n"},
		{activities.Source{Raw: true}, "/json", unparsed + "\n"},
		{activities.Source{Format: activities.FormatCSV}, "/csv", bom + "price\r\n\"9.99\"\r\n"},
		{activities.Source{Format: activities.FormatCSV, Raw: true}, "/csv", bom + "price\r\n\"$9.99\"\r\n"},
	} {
		w := newWorld(t)
		id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(parsed), Unparsed: webscrapertest.JSONLines(unparsed)})
		in := w.downloadedFrom(test.source, id, 1)
		content, err := os.ReadFile(filepath.Join(w.spool, file))
		require.NoError(t, err)
		require.Equal(t, test.content, string(content))
		require.Equal(t, 1, w.requests(http.MethodGet, test.path))
		_, err = w.tryImport(in)
		require.NoError(t, err)
		require.Equal(t, int64(1), w.visible())
	}
}

func TestBrokenCSVDownloadIsResumed(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.source = activities.Source{Format: activities.FormatCSV}
	body := "n\r\n" + strings.Repeat("\"two\nlines\"\r\n", 50_000)
	content := webscrapertest.RawBody(body, 50_000)
	a.id = a.cloud.AddJob(webscrapertest.Job{Records: content})
	a.breaks(webscrapertest.Truncate(100)) // compressed, so the next one starts over
	a.breaks(webscrapertest.Truncate(int64(len(body) * 9 / 10)))
	request := a.succeeds(content)
	require.Equal(t, http.StatusPartialContent, request.Status)
	require.Less(t, request.Bytes, int64(len(body)/5))
	require.True(t, strings.HasSuffix(request.Path, "/csv"), request.Path)
}

func TestUnknownFileFormatIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloadedCSV("a\n1\n", 1)
	in.Format = "parquet"
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorOther, true)
	require.ErrorContains(t, err, `format "parquet"`)
	require.Zero(t, w.visible())
}

// jsonb keeps only the last value of a repeated name.
func TestEveryValueOfARepeatedNameIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	result, err := w.tryImport(w.downloadedCSV(bom+"order,price,price,price_2,price\r\n\"1\",\"12.90\",\"9.90\",\"\",\"x\"\r\n", 1))
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 1}, Published: true}, result)
	require.JSONEq(t, `{"order":"1","price":"12.90","price_3":"9.90","price_2":"","price_4":"x"}`, w.view()[0].Data)

	w = newWorld(t)
	nested := `{"a":1,"links":[{"href":"x"},{"href":"y","text":[],"hr\u0065f":"z"}]}`
	seen := []string{}
	w.steps.RecordHook = func(_ context.Context, _ sink.ScrapingJob, _ int64, record []byte) ([]byte, error) {
		seen = append(seen, string(record))
		return record, nil
	}
	id := w.cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.JSONLines(
		`{"order":"1","price":"12.90","price":"9.90"}`, `{"order":"2","price":"49.00"}`, nested,
		`{"price":"\u0000", "pr\u0069ce":2}`, `{"price":1,"price":2,}`)})
	result, err = w.tryImport(w.downloaded(id, 1))
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 2, Rejected: 3}, Published: true}, result)
	require.Equal(t, []string{`{"order":"1","price":"12.90","price_2":"9.90"}`, `{"order":"2","price":"49.00"}`, `{"price":"\u0000","price_2":2}`}, seen)
	rejected := w.rejected()
	require.Equal(t, rejectedRecord{3, nested, `an object in it has "href" twice`}, rejected[0])
	require.Equal(t, `{"price":"\u0000", "pr\u0069ce":2}`, rejected[1].Raw, "the original")
	require.Equal(t, `{"price":1,"price":2,}`, rejected[2].Raw)
	var row struct {
		Price  string `db:"price"`
		Second string `db:"price_2"`
	}
	require.NoError(t, w.db.Get(&row, `SELECT price, price_2 FROM sitemaps.shop WHERE record_number = 1`))
	require.Equal(t, "12.90 9.90", row.Price+" "+row.Second)
}

func TestNothingOfAnUnreadableFileIsImported(t *testing.T) {
	t.Parallel()
	for _, format := range []string{activities.FormatCSV, activities.FormatJSON} {
		w := newWorld(t)
		id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody("\xff\xfea\x00\n\x001\x00\n\x00", 1)})
		_, err := w.tryImport(w.downloadedFrom(activities.Source{Format: format}, id, 1))
		requireFailure(t, err, activities.ErrorFileUnreadable, false)
		require.ErrorContains(t, err, "Nothing was imported; change how the file is exported, or, if it is CSV, import the job from JSON (SOURCE_FORMAT=json): "+
			"reading the spool file: webscraper: the file cannot be read: it is UTF-16: save it as UTF-8")
		require.Zero(t, w.visible())
		require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.rejected_records`))
	}
}
