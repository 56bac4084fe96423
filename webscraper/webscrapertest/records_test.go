package webscrapertest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestJSONLinesEndsEveryLineWithANewline(t *testing.T) {
	records := webscrapertest.JSONLines(`{"a":"1"}`, `{"a":"2"}`)
	require.EqualValues(t, 2, records.Count())
	require.Equal(t, "{\"a\":\"1\"}\n{\"a\":\"2\"}\n", read(t, records))
	require.Empty(t, read(t, webscrapertest.JSONLines()))
	require.Empty(t, read(t, webscrapertest.Records{}))
}

func TestRawBodyIsServedByteForByte(t *testing.T) {
	const body = "\xef\xbb\xbf{\"a\":1}\r\n\n{\"b\""
	records := webscrapertest.RawBody(body, 2)
	require.EqualValues(t, 2, records.Count())
	require.Equal(t, body, read(t, records))
}

func TestProductsAreCompleteUniqueJSONObjects(t *testing.T) {
	const n = 2000
	body := read(t, webscrapertest.Products(n, 7))
	require.Len(t, body, n*520)
	lines := bytes.Split([]byte(body), []byte("\n"))
	require.Len(t, lines, n+1)
	require.Empty(t, lines[n])

	orders := make(map[string]bool)
	missing := 0
	for _, line := range lines[:n] {
		var record map[string]string
		require.NoError(t, json.Unmarshal(line, &record), "%s", line)
		require.Len(t, record, 11)
		require.Regexp(t, `^1[67]\d{8}-\d+$`, record["web-scraper-order"])
		require.Equal(t, "https://webscraper.io/test-sites/e-commerce/allinone", record["web-scraper-start-url"])
		require.Greater(t, len(record["description"]), 40)
		orders[record["web-scraper-order"]] = true
		if record["reviews"] == "" {
			missing++
		}
		require.Contains(t, string(line), `https:\/\/`)
	}
	require.Len(t, orders, n, "web-scraper-order is unique")
	require.NotZero(t, missing, "some elements are missing")
}

func TestProductsAreTheSameForTheSameSeedOnly(t *testing.T) {
	first := read(t, webscrapertest.Products(100, 1))
	require.Equal(t, first, read(t, webscrapertest.Products(100, 1)))
	require.Equal(t, first, read(t, webscrapertest.Products(500, 1))[:len(first)], "a longer run starts the same")
	require.NotEqual(t, first, read(t, webscrapertest.Products(100, 2)))
}

func TestProductsCanBeReadFromAnyOffset(t *testing.T) {
	records := webscrapertest.Products(5, 3)
	complete := read(t, records)
	for _, offset := range []int{0, 1, 519, 520, 521, 1040, len(complete) - 1, len(complete)} {
		reader := records.Open()
		position, err := reader.Seek(int64(offset), io.SeekStart)
		require.NoError(t, err)
		require.EqualValues(t, offset, position)
		rest, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, complete[offset:], string(rest))
	}
	_, err := records.Open().Seek(-1, io.SeekStart)
	require.Error(t, err)
}

// Products keep their length at the end of a huge job, where their numbers have the most
// digits.
func TestProductsOfHugeJobsKeepTheirLength(t *testing.T) {
	const n = 2_000_000_000
	reader := webscrapertest.Products(n, 9).Open()
	size, err := reader.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, int64(n)*520, size)
	_, err = reader.Seek(-520, io.SeekEnd)
	require.NoError(t, err)
	last, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.True(t, json.Valid(last), "%s", last)
}

func read(t *testing.T, records webscrapertest.Records) string {
	t.Helper()
	body, err := io.ReadAll(records.Open())
	require.NoError(t, err)
	return string(body)
}

func BenchmarkProducts(b *testing.B) {
	buf := make([]byte, 32<<10)
	reader := webscrapertest.Products(1<<40, 1).Open()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := reader.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// Little changes from one scrape of a shop to the next; the rest stays byte for byte,
// except web-scraper-order.
func TestNextScrapeFindsTheShopSlightlyChanged(t *testing.T) {
	cloud := webscrapertest.New(webscrapertest.Options{})
	cloud.AddSitemap(webscrapertest.Sitemap{ID: 7})
	scrape := func() map[string]map[string]string {
		records := cloud.NextProducts(7, 1000)
		found, orders := map[string]map[string]string{}, map[string]bool{}
		for decoder := json.NewDecoder(records.Open()); decoder.More(); {
			var record map[string]string
			require.NoError(t, decoder.Decode(&record))
			orders[record["web-scraper-order"]] = true
			delete(record, "web-scraper-order")
			found[record["product-href"]] = record
		}
		require.Len(t, found, 1000)
		require.Len(t, orders, 1000)
		return found
	}
	first := scrape()
	require.Equal(t, first, scrape(), "nobody has scraped it yet")
	id := cloud.AddJob(webscrapertest.Job{SitemapID: 7, Records: cloud.NextProducts(7, 1000)})
	second := scrape()
	require.NoError(t, cloud.Continue(id, cloud.NextProducts(7, 1000)))
	for _, later := range []map[string]map[string]string{second, scrape()} {
		same, dearer := 0, 0
		for url, record := range later {
			switch before, known := first[url]; {
			case known && maps.Equal(before, record):
				same++
			case known:
				dearer++
				before["price"] = record["price"]
				require.Equal(t, before, record)
			}
		}
		require.Equal(t, []int{850, 100}, []int{same, dearer})
		first = later
	}
}
