package webscraper_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// fileOf is what a download of records has to be.
func fileOf(t *testing.T, records webscrapertest.Records) string {
	t.Helper()
	content, err := io.ReadAll(records.Open())
	require.NoError(t, err)
	return string(content)
}

func requireFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	require.True(t, string(got) == want, "another content of the same length")
}

// requireOnly checks that a folder holds nothing but the named files.
func requireOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	require.Equal(t, names, got)
}

func TestDownloadFileReplacesTheFile(t *testing.T) {
	records := webscrapertest.Products(1000, 1)
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: records})
	dir := t.TempDir()
	path := filepath.Join(dir, "products.json")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))

	d, err := client.DownloadScrapingJobFile(t.Context(), id, path, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 520_000, d.Bytes)
	requireFile(t, path, fileOf(t, records))
	requireOnly(t, dir, "products.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestDownloadFileWorksInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1"}`)})
	_, err := client.DownloadScrapingJobFile(t.Context(), id, "a.csv", webscraper.FormatCSV, webscraper.DownloadOptions{})
	require.NoError(t, err)
	requireOnly(t, ".", "a.csv")
}

func TestGoodFileSurvivesEveryFailure(t *testing.T) {
	full := errors.New("the disk is full")
	tests := map[string]struct {
		effect webscrapertest.Effect
		opts   webscraper.DownloadOptions
		cancel bool
	}{
		"not found":        {effect: webscrapertest.FailWith(404)},
		"server error":     {effect: webscrapertest.FailWithHTML(502)},
		"no connection":    {effect: webscrapertest.Reset()},
		"broken for good":  {effect: webscrapertest.Truncate(1000)},
		"silent for good":  {effect: webscrapertest.HangAt(1000)},
		"refused by hook":  {effect: webscrapertest.Drip(1000, 0), opts: webscraper.DownloadOptions{OnHeader: func(webscraper.Download, int64) error { return full }}},
		"canceled":         {effect: webscrapertest.HangAt(1000), cancel: true},
		"canceled waiting": {effect: webscrapertest.Truncate(1000), cancel: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud, client := newCloud(t)
				id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
				cloud.Inject(webscrapertest.Fault{Effect: test.effect})
				dir := t.TempDir()
				path := filepath.Join(dir, "products.json")
				require.NoError(t, os.WriteFile(path, []byte("good"), 0o600))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancel {
					time.AfterFunc(time.Millisecond, cancel)
				}
				d, err := client.DownloadScrapingJobFile(ctx, id, path, webscraper.FormatJSON, test.opts)
				require.Error(t, err)
				require.Equal(t, test.cancel, errors.Is(err, context.Canceled))
				require.Zero(t, d)
				requireFile(t, path, "good")
				requireOnly(t, dir, "products.json")
			})
		})
	}
}

func TestBrokenDownloadToFileIsCompleted(t *testing.T) {
	records, changed, shorter := webscrapertest.Products(100, 1), webscrapertest.Products(100, 2), webscrapertest.Products(10, 2)
	tests := map[string]struct {
		effects []webscrapertest.Effect // of one request each
		options webscrapertest.Options
		want    webscrapertest.Records
		ranges  []string // of the requests
	}{
		"continued": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000)},
			want:    records, ranges: []string{"", "bytes=30000-"},
		},
		"continued twice": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.Truncate(10_000)},
			want:    records, ranges: []string{"", "bytes=30000-", "bytes=40000-"},
		},
		"silent server": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.HangAt(10_000)},
			want:    records, ranges: []string{"", "bytes=30000-", "bytes=40000-"},
		},
		"server down for a moment": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.FailWithHTML(502), webscrapertest.Reset()},
			want:    records, ranges: []string{"", "bytes=30000-", "bytes=30000-", "bytes=30000-"},
		},
		"refused by the API limit in between": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.TooManyRequests(time.Minute)},
			want:    records, ranges: []string{"", "bytes=30000-", "bytes=30000-"},
		},
		"changed in between": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.ChangeRecords(changed)},
			want:    changed, ranges: []string{"", "bytes=30000-"},
		},
		"shorter than what was there": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), webscrapertest.ChangeRecords(shorter)},
			want:    shorter, ranges: []string{"", "bytes=30000-"},
		},
		"changed, and broken again": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), changeAndTruncate(changed, 100)},
			want:    changed, ranges: []string{"", "bytes=30000-", "bytes=100-"},
		},
		"changed, and broken before its first byte": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000), changeAndTruncate(changed, 0), webscrapertest.Reset()},
			want:    changed, ranges: []string{"", "bytes=30000-", "", ""},
		},
		"server without ranges": {
			effects: []webscrapertest.Effect{webscrapertest.Truncate(30_000)},
			options: webscrapertest.Options{NoRanges: true},
			want:    records, ranges: []string{"", ""},
		},
		"compressed, which has only a weak entity tag": {
			effects: []webscrapertest.Effect{webscrapertest.ResetAt(1_000), webscrapertest.HangAt(30_000)},
			want:    records, ranges: []string{"", "", "bytes=30000-"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.options.Tokens = []string{token}
				cloud := webscrapertest.New(test.options)
				client := newPipeClient(t, cloud)
				id := cloud.AddJob(webscrapertest.Job{Records: records})
				for _, effect := range test.effects {
					cloud.Inject(webscrapertest.Fault{Times: 1, Effect: effect})
				}
				path := filepath.Join(t.TempDir(), "products.json")
				d, err := client.DownloadScrapingJobFile(t.Context(), id, path, webscraper.FormatJSON, webscraper.DownloadOptions{})
				require.NoError(t, err)
				want := fileOf(t, test.want)
				require.EqualValues(t, len(want), d.Bytes)
				requireFile(t, path, want)
				var ranges []string
				for _, request := range cloud.Requests() {
					ranges = append(ranges, request.Range)
				}
				require.Equal(t, test.ranges, ranges)
			})
		})
	}
}

// changeAndTruncate changes the records and cuts the answer that tells them.
func changeAndTruncate(records webscrapertest.Records, n int64) webscrapertest.Effect {
	return func(c *webscrapertest.Cloud, next http.Handler) http.Handler {
		return webscrapertest.ChangeRecords(records)(c, webscrapertest.Truncate(n)(c, next))
	}
}
