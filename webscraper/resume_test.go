package webscraper_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestInterruptedDownloadResumes(t *testing.T) {
	records := webscrapertest.Products(10, 1)
	want, err := io.ReadAll(records.Open())
	require.NoError(t, err)
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: records})
	cloud.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.Truncate(1000)})

	var got bytes.Buffer
	broken, err := client.DownloadScrapingJob(t.Context(), id, &got, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualValues(t, 1000, broken.Bytes)
	require.NotEmpty(t, broken.Validator)

	var started webscraper.Download
	var length int64
	d, err := client.DownloadScrapingJob(t.Context(), id, &got, webscraper.FormatJSON, webscraper.DownloadOptions{
		Offset: broken.Bytes, Validator: broken.Validator,
		OnHeader: func(d webscraper.Download, n int64) error { started, length = d, n; return nil },
	})
	require.NoError(t, err)
	require.Equal(t, webscraper.Download{Offset: 1000, Bytes: 4200, Validator: broken.Validator}, d)
	require.Equal(t, webscraper.Download{Offset: 1000, Validator: broken.Validator}, started)
	require.EqualValues(t, 4200, length)
	require.Equal(t, string(want), got.String())
	require.Equal(t, "bytes=1000-", cloud.Requests()[1].Range)
}

func TestDownloadThatChangedStartsOver(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	cloud.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.Truncate(1000)})
	broken, err := client.DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.Error(t, err)
	changed := webscrapertest.Products(10, 2)
	require.NoError(t, cloud.SetRecords(id, changed))

	var got bytes.Buffer
	d, err := client.DownloadScrapingJob(t.Context(), id, &got, webscraper.FormatJSON, webscraper.DownloadOptions{Offset: broken.Bytes, Validator: broken.Validator})
	require.NoError(t, err)
	want, err := io.ReadAll(changed.Open())
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
	require.Zero(t, d.Offset)
	require.NotEqual(t, broken.Validator, d.Validator)
}

func TestOnlyAProvenRestIsAppended(t *testing.T) {
	const file = "0123456789"
	rest := func(change func(http.Header)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			if r.Header.Get("Range") == "" {
				send(w, file)
				return
			}
			if r.Header.Get("Range") != "bytes=4-" || r.Header.Get("If-Range") != `"v1"` || r.Header.Get("Accept-Encoding") != "identity" {
				http.Error(w, "unexpected header", http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Range", "bytes 4-9/10")
			change(w.Header())
			w.WriteHeader(http.StatusPartialContent)
			send(w, file[4:])
		}
	}
	set := func(key, value string) http.HandlerFunc {
		return rest(func(h http.Header) { h.Set(key, value) })
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		offset  int64
	}{
		"the rest":                  {rest(func(http.Header) {}), 4},
		"no entity tag":             {rest(func(h http.Header) { h.Del("ETag") }), 4},
		"identity":                  {set("Content-Encoding", "identity"), 4},
		"other entity tag":          {set("ETag", `"v2"`), 0},
		"weak entity tag":           {set("ETag", `W/"v1"`), 0},
		"compressed":                {set("Content-Encoding", "gzip"), 0},
		"other offset":              {set("Content-Range", "bytes 3-9/10"), 0},
		"not up to the end":         {set("Content-Range", "bytes 4-8/10"), 0},
		"unknown size":              {set("Content-Range", "bytes 4-9/*"), 0},
		"other unit":                {set("Content-Range", "lines 4-9/10"), 0},
		"nonsense":                  {set("Content-Range", "bytes 4"), 0},
		"no Content-Range":          {rest(func(h http.Header) { h.Del("Content-Range") }), 0},
		"the server ignores ranges": {answer(200, "application/json", file), 0},
		"the range is beyond the end": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			send(w, file)
		}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, test.handler)
			var got strings.Builder
			d, err := client.DownloadScrapingJob(t.Context(), 500, &got, webscraper.FormatJSON, webscraper.DownloadOptions{Offset: 4, Validator: `"v1"`})
			require.NoError(t, err)
			require.Equal(t, test.offset, d.Offset)
			require.Equal(t, file[test.offset:], got.String())
		})
	}
}

func TestRestWithAnotherLastModifiedIsNotAppended(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	date := func(ago time.Duration) string { return now.Add(-ago).Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		lastModified string
		offset       int64
	}{
		"the same":  {date(time.Hour), 4},
		"not given": {"", 4},
		"later":     {date(time.Minute), 0},
		"nonsense":  {"yesterday", 0},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Last-Modified", c.lastModified)
				if r.Header.Get("Range") == "" {
					send(w, "abcdefghij")
					return
				}
				w.Header().Set("Content-Range", "bytes 4-9/10")
				w.WriteHeader(http.StatusPartialContent)
				send(w, "efghij")
			}))
			var got strings.Builder
			d, err := client.DownloadScrapingJob(t.Context(), 500, &got, webscraper.FormatJSON,
				webscraper.DownloadOptions{Offset: 4, Validator: date(time.Hour)})
			require.NoError(t, err)
			require.Equal(t, c.offset, d.Offset)
			require.Equal(t, "abcdefghij"[c.offset:], got.String())
		})
	}
}

func TestShortRestIsAnError(t *testing.T) {
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 4-9/10")
		w.WriteHeader(http.StatusPartialContent)
		http.NewResponseController(w).Flush() // so that there is no Content-Length
		send(w, "456")
	}))
	d, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{Offset: 4, Validator: `"v1"`})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, webscraper.Download{Offset: 4, Bytes: 3, Validator: `"v1"`}, d)
}

func TestUnrequestedRestIsAnError(t *testing.T) {
	client := newClient(t, answer(http.StatusPartialContent, "application/json", "456789"))
	for _, resume := range []webscraper.DownloadOptions{{Validator: `"v1"`}, {Offset: 4}} {
		var got strings.Builder
		_, err := client.DownloadScrapingJob(t.Context(), 500, &got, webscraper.FormatJSON, resume)
		require.ErrorContains(t, err, "206 Partial Content")
		require.Zero(t, got.Len())
	}
}

func TestValidatorIdentifiesTheContentStrictly(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(ago time.Duration) string { return now.Add(-ago).Format(http.TimeFormat) }
	tests := []struct{ etag, lastModified, want string }{
		{`"v1"`, date(time.Hour), `"v1"`},
		{`W/"v1"`, date(time.Hour), date(time.Hour)},
		{"", date(time.Minute), date(time.Minute)},
		{"", date(time.Second), ""}, // may change again within the same second
		{"", "yesterday", ""},
		{`W/"v1"`, "", ""},
		{"", "", ""},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", now.Format(http.TimeFormat))
				w.Header().Set("ETag", test.etag)
				w.Header().Set("Last-Modified", test.lastModified)
			}))
			d, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
			require.NoError(t, err)
			require.Equal(t, test.want, d.Validator)
		})
	}
}
