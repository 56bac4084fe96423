package webscrapertest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	first = `{"web-scraper-order":"1614248295-1",` +
		`"web-scraper-start-url":"https:\/\/webscraper.io\/test-sites\/e-commerce\/allinone","product":"IdeaTab A3500L"}`
	second = `{"web-scraper-order":"1614248295-2","product":"Mouse \"M\", wired\nblack","price":9.50,"tags":["a","b"],"stock":null}`
)

func jobPath(id int64, rest string) string { return fmt.Sprintf("scraping-job/%d%s", id, rest) }

func TestJSONDownloadIsTheRecordsWithoutEnvelope(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(first, second)})
	got := get(t, server, jobPath(id, "/json"))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, first+"\n"+second+"\n", got.body)
	require.Equal(t, fmt.Sprint(len(got.body)), got.header.Get("Content-Length"))
	require.Equal(t, "199", got.header.Get("X-RateLimit-Remaining"))
}

func TestRawBodyIsTheDownloadOfEveryFormat(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	const body = "\xef\xbb\xbf{\"a\""
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(body, 7)})
	for _, format := range []string{"/json", "/csv"} {
		require.Equal(t, body, get(t, server, jobPath(id, format)).body)
	}
	require.Contains(t, get(t, server, jobPath(id, "")).body, `"stored_record_count":7`)
}

func TestDownloadOfAJobThatHasNotEndedIs200AndPartial(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	lines := webscrapertest.JSONLines(first, second)
	for _, tt := range []struct {
		name   string
		job    webscrapertest.Job
		stored int
		want   string
	}{
		{"nothing yet", webscrapertest.Job{Status: "scheduling", Records: lines}, 0, ""},
		{"one record so far", webscrapertest.Job{Status: "started", Records: lines, StoredRecordCount: new(int64(1))}, 1, first + "\n"},
		{"raw body", webscrapertest.Job{Status: "started", Records: webscrapertest.RawBody("x", 1)}, 0, ""},
		{"raw body without records", webscrapertest.Job{Status: "started", Records: webscrapertest.RawBody("x", 0)}, 0, ""},
		{"wrong count at the end", webscrapertest.Job{Records: lines, StoredRecordCount: new(int64(9))}, 9, first + "\n" + second + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := server.AddJob(tt.job)
			got := get(t, server, jobPath(id, "/json"))
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, tt.want, got.body)
			require.Contains(t, get(t, server, jobPath(id, "")).body, fmt.Sprintf(`"stored_record_count":%d,`, tt.stored))
		})
	}
}

func TestRawParameterDownloadsUnparsedRecords(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{
		Records:  webscrapertest.JSONLines(`{"price":"9.99"}`),
		Unparsed: webscrapertest.JSONLines(`{"price":"$9.99"}`),
	})
	require.Equal(t, "{\"price\":\"9.99\"}\n", get(t, server, jobPath(id, "/json")).body)
	require.Equal(t, "{\"price\":\"$9.99\"}\n", get(t, server, jobPath(id, "/json?raw=true")).body)
	require.Contains(t, get(t, server, jobPath(id, "/csv?raw=true")).body, `"$9.99"`)
	same := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(first)})
	require.Equal(t, first+"\n", get(t, server, jobPath(same, "/json?raw=true")).body)
}

func TestCSVDownloadHasTheServicesQuirks(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(first, second)})
	body := get(t, server, jobPath(id, "/csv")).body
	require.Equal(t, "\ufeffweb-scraper-order,web-scraper-start-url,product,price,tags,stock\r\n"+
		"\"1614248295-1\",\"https://webscraper.io/test-sites/e-commerce/allinone\",\"IdeaTab A3500L\",\"\",\"\",\"\"\r\n"+
		"\"1614248295-2\",\"\",\"Mouse \"\"M\"\", wired\nblack\",\"9.50\",\"[\"\"a\"\",\"\"b\"\"]\",\"\"\r\n", body)
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(body, "\ufeff"))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, "Mouse \"M\", wired\nblack", rows[2][2])
}

func TestCSVOfAJobWithoutRecordsHasAHeader(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Status: "scheduled"})
	require.Equal(t, "\ufeffweb-scraper-order,web-scraper-start-url\r\n", get(t, server, jobPath(id, "/csv")).body)
}

func TestDownloadsAreCompressedWhenAskedFor(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	for _, format := range []string{"/json", "/csv"} {
		plain := get(t, server, jobPath(id, format))
		require.Empty(t, plain.header.Get("Content-Encoding"))
		packed := get(t, server, jobPath(id, format), "Accept-Encoding: br, gzip")
		require.Equal(t, "gzip", packed.header.Get("Content-Encoding"))
		require.Less(t, len(packed.body), len(plain.body)/2)
		reader, err := gzip.NewReader(strings.NewReader(packed.body))
		require.NoError(t, err)
		body, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, plain.body, string(body))
	}
}

func TestCompressionCanBeTurnedOff(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{NoGzip: true})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(first)})
	got := get(t, server, jobPath(id, "/json"), "Accept-Encoding: gzip")
	require.Empty(t, got.header.Get("Content-Encoding"))
	require.Equal(t, first+"\n", got.body)
}

func TestDownloadResumesOnlyForTheSameContent(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	path := jobPath(id, "/json")
	complete := get(t, server, path)
	etag := complete.header.Get("ETag")
	require.NotEmpty(t, etag)
	require.Equal(t, "bytes", complete.header.Get("Accept-Ranges"))

	rest := get(t, server, path, "Range: bytes=1000-", "If-Range: "+etag, "Accept-Encoding: gzip")
	require.Equal(t, http.StatusPartialContent, rest.status)
	require.Equal(t, "bytes 1000-5199/5200", rest.header.Get("Content-Range"))
	require.Equal(t, complete.body[1000:], rest.body)
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, get(t, server, path, "Range: bytes=5200-").status)

	packed := get(t, server, path, "Accept-Encoding: gzip")
	require.Equal(t, "W/"+etag, packed.header.Get("ETag"))
	require.Equal(t, http.StatusOK, get(t, server, path, "Range: bytes=1000-", "If-Range: W/"+etag).status)

	require.NoError(t, server.SetRecords(id, webscrapertest.Products(10, 2)))
	changed := get(t, server, path, "Range: bytes=1000-", "If-Range: "+etag)
	require.Equal(t, http.StatusOK, changed.status)
	require.Len(t, changed.body, 5200)
	require.NotEqual(t, etag, changed.header.Get("ETag"))
}

func TestRangesCanBeTurnedOff(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{NoRanges: true})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	got := get(t, server, jobPath(id, "/json"), "Range: bytes=1000-")
	require.Equal(t, http.StatusOK, got.status)
	require.Len(t, got.body, 5200)
	require.Equal(t, "5200", got.header.Get("Content-Length"))
	require.Empty(t, got.header.Get("Accept-Ranges"))
	require.Empty(t, got.header.Get("ETag"))
	packed := get(t, server, jobPath(id, "/json"), "Accept-Encoding: gzip", "Range: bytes=1000-")
	require.Equal(t, "gzip", packed.header.Get("Content-Encoding"))
	require.Empty(t, packed.header.Get("ETag"))
}

func TestInvalidLinesAreCutInCSV(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1","b":"2"}`, `["a"]`, `{"b":"3","a"`, ``)})
	require.Equal(t, "\ufeffa,b\r\n\"1\",\"2\"\r\n\"\",\"\"\r\n\"\",\"3\"\r\n\"\",\"\"\r\n", get(t, server, jobPath(id, "/csv")).body)
}

func TestCompressedDownloadHasEveryRecord(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	const n = 20_000
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(n, 1)})
	response, err := http.Get(server.URL + jobPath(id, "/json?api_token="+webscrapertest.DefaultToken))
	require.NoError(t, err)
	defer response.Body.Close()
	lines := 0
	buf := make([]byte, 64<<10)
	for err == nil {
		var read int
		read, err = response.Body.Read(buf)
		lines += bytes.Count(buf[:read], []byte("\n"))
	}
	require.Equal(t, io.EOF, err)
	require.Equal(t, n, lines)
}
