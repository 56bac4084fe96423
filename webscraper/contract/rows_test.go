package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// oddLines are records that both readers must read the same way.
var oddLines = []string{
	`{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/webscraper.io\/test-sites","product":"IdeaTab A3500L"}`,
	`{"web_scraper_order":"1614248295-2","web_scraper_start_url":"https:\/\/webscraper.io","product":""}`,
	`{"a b":"1","100%":"2","*":"3","\/":"4","":"5","ключ":"6","\u00e9":"7"}`,
	`{"text":"caf\u00e9 ☕ \ud83d\ude00 😀 \"quoted\" \\ \t \r\n \u2028 \u0001"}`,
	`{"null":null,"text":"null","number":-12.5e3,"true":true,"false":false,"list":["a",1,null,{"b":[]}],"object":{"c":{"d":"e"}}}`,
	`{}`,
	`{ "spaced" : "yes" }`,
}

func TestBothClientsReadTheSameRows(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		records webscrapertest.Records
		rows    int
	}{
		{"products", webscrapertest.Products(2000, 5), 2000},
		{"odd lines", webscrapertest.JSONLines(oddLines...), len(oddLines)},
		{"CRLF", webscrapertest.RawBody("{\"a\":\"1\"}\r\n{\"a\":\"2\"}\r\n", 2), 2},
		{"no final newline", webscrapertest.RawBody("{\"a\":\"1\"}\n{\"a\":\"2\"}", 2), 2},
		{"nothing", webscrapertest.JSONLines(), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := webscrapertest.NewServer(t, webscrapertest.Options{})
			id := server.AddJob(webscrapertest.Job{Records: tt.records})
			folder := t.TempDir()
			theirs := filepath.Join(folder, "theirs")
			outcomes := callVendor(t, server,
				onClient("downloadScrapingJobJSON", id, theirs+".json"),
				onClient("downloadScrapingJobCSV", id, theirs+".csv"),
				onReader(theirs+".json", "toArray"),
				onReader(theirs+".json", "fetchRows"))
			for _, outcome := range outcomes {
				require.Empty(t, outcome.Error)
			}
			client := newClient(t, server)
			for _, format := range []webscraper.Format{webscraper.FormatJSON, webscraper.FormatCSV} {
				require.Equal(t, readFile(t, theirs+"."+string(format)), download(t, client, id, format))
			}

			rows, wrong := readRows(t, download(t, client, id, webscraper.FormatJSON))
			require.Empty(t, wrong)
			require.Len(t, rows, tt.rows)
			for _, outcome := range outcomes[2:] {
				require.Equal(t, decode[[]any](t, outcome.Value), rows)
			}
		})
	}
}

// readRows reads JSON Lines with our reader. It returns the records as objects, and the
// numbers of those that are not JSON.
func readRows(t *testing.T, content string) (rows []any, wrong []int64) {
	t.Helper()
	rows = []any{}
	reader := webscraper.NewRowReader(strings.NewReader(content), webscraper.FormatJSON, 0)
	for reader.Next() {
		row := reader.Row()
		require.NoError(t, row.Err)
		if !json.Valid(row.Raw) {
			wrong = append(wrong, row.Number)
			continue
		}
		rows = append(rows, decode[any](t, row.Raw))
	}
	require.NoError(t, reader.Err())
	return rows, wrong
}

func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal(text, &value), "%s", text)
	return value
}

// download returns what our client downloads.
func download(t *testing.T, client *webscraper.Client, id int64, format webscraper.Format) string {
	t.Helper()
	var file strings.Builder
	_, err := client.DownloadScrapingJob(t.Context(), id, &file, format, webscraper.DownloadOptions{})
	require.NoError(t, err)
	return file.String()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}
