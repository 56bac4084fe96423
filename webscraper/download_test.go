package webscraper_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDownloadWritesTheCompleteFile(t *testing.T) {
	records := webscrapertest.Products(5000, 1)
	want, err := io.ReadAll(records.Open())
	require.NoError(t, err)
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: records})
	for name, opts := range map[string]webscraper.DownloadOptions{
		"compressed": {}, "uncompressed": {Uncompressed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			d, err := client.DownloadScrapingJob(t.Context(), id, &got, webscraper.FormatJSON, opts)
			require.NoError(t, err)
			require.Equal(t, int64(len(want)), d.Bytes)
			require.Zero(t, d.Offset)
			require.True(t, bytes.Equal(want, got.Bytes()))
		})
	}
}

func TestDownloadFormats(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{
		Records:  webscrapertest.JSONLines(`{"title":"Cat"}`),
		Unparsed: webscrapertest.JSONLines(`{"title":" Cat "}`),
	})
	var b bytes.Buffer
	_, err := client.DownloadScrapingJob(t.Context(), id, &b, webscraper.FormatJSON, webscraper.DownloadOptions{Raw: true})
	require.NoError(t, err)
	require.Equal(t, "{\"title\":\" Cat \"}\n", b.String())

	b.Reset()
	_, err = client.DownloadScrapingJob(t.Context(), id, &b, webscraper.FormatCSV, webscraper.DownloadOptions{})
	require.NoError(t, err)
	require.Contains(t, b.String(), "\"Cat\"\r\n")
}

func TestDownloadOfAnUnfinishedJobCanBeEmpty(t *testing.T) {
	gzipped := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", "0")
	}
	for name, handler := range map[string]http.HandlerFunc{"plain": answer(200, "application/json", ""), "gzip": gzipped} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, handler)
			d, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
			require.NoError(t, err)
			require.Zero(t, d.Bytes)
		})
	}
}

func TestDownloadOfAMissingJobWritesNothing(t *testing.T) {
	_, client := newCloud(t)
	var b bytes.Buffer
	_, err := client.DownloadScrapingJob(t.Context(), 404, &b, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.True(t, webscraper.IsNotFound(err))
	require.ErrorContains(t, err, "webscraper: download scraping job 404 as json: GET /api/v1/scraping-job/404/json: 404 Not Found")
	require.Zero(t, b.Len())
}

func TestShortBodyIsAnError(t *testing.T) {
	compressed := gzipOf(strings.Repeat("0123456789", 1000))
	sendAndBreak := func(header http.Header, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for key, values := range header {
				w.Header()[key] = values
			}
			send(w, string(body))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"with Content-Length":    {sendAndBreak(http.Header{"Content-Length": {"1000"}}, []byte("0123456789")), "the body broke off after 10 of 1000 bytes: unexpected EOF"},
		"without Content-Length": {sendAndBreak(nil, []byte("0123456789")), "the body broke off after 10 bytes: unexpected EOF"},
		"gzip":                   {sendAndBreak(http.Header{"Content-Encoding": {"gzip"}}, compressed[:20]), "the body broke off after 20 bytes: unexpected EOF"},
		"gzip, nothing":          {sendAndBreak(http.Header{"Content-Encoding": {"gzip"}}, nil), "the body broke off after 0 bytes: unexpected EOF"},
		"gzip, nothing, as if complete": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			http.NewResponseController(w).Flush()
		}, "the body broke off after 0 bytes: unexpected EOF"},
		"gzip that was cut before it was sent": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			send(w, string(compressed[:len(compressed)-8]))
		}, "unexpected EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, test.handler)
			_, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.ErrorContains(t, err, "webscraper: download scraping job 500 as json: ")
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestShortBodyIsAnErrorWithATransportThatDoesNotCheck(t *testing.T) {
	transport := roundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ContentLength: 10, Body: io.NopCloser(strings.NewReader("12345"))}, nil
	})
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	d, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualValues(t, 5, d.Bytes)
}

func TestDamagedGzipIsAnError(t *testing.T) {
	compressed := gzipOf("0123456789")
	compressed[len(compressed)-5] ^= 0xff // the checksum
	tests := map[string]struct{ encoding, want string }{
		"checksum":         {"gzip", "gzip: invalid checksum"},
		"unknown encoding": {"br", `the response has the Content-Encoding "br", which was not requested`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", test.encoding)
				send(w, string(compressed))
			}))
			_, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestSilentServerIsAnErrorAfterTheIdleTimeout(t *testing.T) {
	tests := map[string]struct {
		effect webscrapertest.Effect
		opts   webscraper.DownloadOptions
		bytes  int64
	}{
		"before the header": {webscrapertest.Hang(), webscraper.DownloadOptions{}, 0},
		"in the body":       {webscrapertest.HangAt(1000), webscraper.DownloadOptions{Uncompressed: true}, 1000},
		"in gzip":           {webscrapertest.HangAt(5), webscraper.DownloadOptions{}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud, client := newCloud(t, webscraper.WithIdleTimeout(20*time.Second))
				id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
				cloud.Inject(webscrapertest.Fault{Effect: test.effect})
				start := time.Now()
				d, err := client.DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, test.opts)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorContains(t, err, "the server sent nothing for 20s")
				require.Equal(t, 20*time.Second, time.Since(start))
				require.Equal(t, test.bytes, d.Bytes)
			})
		})
	}
}

func TestSilentErrorBodyTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			send(w, "<html>")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), webscraper.WithIdleTimeout(20*time.Second))
		_, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.ErrorContains(t, err, `502 Bad Gateway: the body is not the API's JSON (Content-Type "text/html; charset=utf-8"): "<html>"`)
	})
}

func TestSlowDownloadIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t, webscraper.WithTimeout(time.Second), webscraper.WithIdleTimeout(20*time.Second))
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.Drip(100, 19*time.Second)})
		start := time.Now()
		d, err := client.DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
		require.NoError(t, err)
		require.EqualValues(t, 5200, d.Bytes)
		require.Equal(t, 52*19*time.Second, time.Since(start))
	})
}

func TestSlowWriterIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t, webscraper.WithIdleTimeout(20*time.Second))
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(2000, 1)})
		_, err := client.DownloadScrapingJob(t.Context(), id, writerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Hour) // on the bubble's clock
			return len(p), nil
		}), webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
		require.NoError(t, err)
	})
}

func TestCanceledDownloadMatchesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.HangAt(100)})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := client.DownloadScrapingJob(ctx, id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestOnHeaderIsCalledBeforeTheFirstByte(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	var written bytes.Buffer
	var started webscraper.Download
	var length int64
	onHeader := func(d webscraper.Download, n int64) error {
		require.Zero(t, written.Len())
		started, length = d, n
		return nil
	}
	d, err := client.DownloadScrapingJob(t.Context(), id, &written, webscraper.FormatJSON, webscraper.DownloadOptions{OnHeader: onHeader, Uncompressed: true})
	require.NoError(t, err)
	require.EqualValues(t, 5200, length)
	require.NotEmpty(t, started.Validator)
	require.Equal(t, started.Validator, d.Validator)

	written.Reset()
	_, err = client.DownloadScrapingJob(t.Context(), id, &written, webscraper.FormatJSON, webscraper.DownloadOptions{OnHeader: onHeader})
	require.NoError(t, err)
	require.Zero(t, started, "compressed")
	require.EqualValues(t, -1, length)
}

func TestOnHeaderCanStopTheDownload(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	full := errors.New("5200 bytes do not fit")
	var written bytes.Buffer
	_, err := client.DownloadScrapingJob(t.Context(), id, &written, webscraper.FormatJSON, webscraper.DownloadOptions{
		OnHeader: func(webscraper.Download, int64) error { return full },
	})
	require.ErrorIs(t, err, full)
	require.Zero(t, written.Len())
}

func TestWriteErrorEndsTheDownload(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	tests := map[string]struct {
		writer writerFunc
		want   error
	}{
		"disk full":   {func([]byte) (int, error) { return 3, syscall.ENOSPC }, syscall.ENOSPC},
		"short write": {func([]byte) (int, error) { return 3, nil }, io.ErrShortWrite},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := client.DownloadScrapingJob(t.Context(), id, test.writer, webscraper.FormatJSON, webscraper.DownloadOptions{})
			require.ErrorIs(t, err, test.want)
			require.ErrorContains(t, err, "write after 3 bytes")
			require.EqualValues(t, 3, d.Bytes)
		})
	}
}

// downloadOf downloads body to w, in a synctest bubble.
func downloadOf(t *testing.T, w io.Writer, body func(context.Context) io.Reader) error {
	t.Helper()
	transport := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, ContentLength: 1 << 40, Body: io.NopCloser(body(r.Context()))}, nil
	})
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	_, err = client.DownloadScrapingJob(t.Context(), 500, w, webscraper.FormatJSON, webscraper.DownloadOptions{})
	return err
}

func TestWriteErrorDoesNotWaitForASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		full := writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC })
		err := downloadOf(t, full, func(ctx context.Context) io.Reader {
			return io.MultiReader(strings.NewReader("{}\n"), readerFunc(func([]byte) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}))
		})
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.Zero(t, time.Since(started))
	})
}

// All received bytes are in the file, where the next attempt resumes.
func TestReceivedBytesAreWrittenWhileTheServerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		slow := writerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Second)
			written.Add(int64(len(p)))
			return len(p), nil
		})
		content := strings.NewReader("{}\n{}\n{\"")
		err := downloadOf(t, slow, func(ctx context.Context) io.Reader {
			return readerFunc(func(p []byte) (int, error) {
				if content.Len() > 0 {
					return content.Read(p[:3])
				}
				time.Sleep(10 * time.Second)
				assert.Equal(t, content.Size(), written.Load())
				<-ctx.Done()
				return 0, ctx.Err()
			})
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// synctest would find a leaked reader.
func TestWriterThatPanicsLeavesNoReaderBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Panics(t, func() {
			_ = downloadOf(t, writerFunc(func([]byte) (int, error) { panic("a host's writer") }), func(context.Context) io.Reader {
				return readerFunc(func(p []byte) (int, error) { return len(p), nil })
			})
		})
	})
}

func TestDownloadIsReadWhileItIsWritten(t *testing.T) {
	const size = 10<<20 + 1
	want := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(want)
	var read atomic.Int64
	content := bytes.NewReader(want)
	transport := roundTripFunc(func(*http.Request) (*http.Response, error) {
		body := readerFunc(func(p []byte) (int, error) {
			n, err := content.Read(p[:min(len(p), int(random.Uint64()%100_000))])
			read.Add(int64(n))
			return n, err
		})
		return &http.Response{StatusCode: 200, ContentLength: size, Body: io.NopCloser(body)}, nil
	})
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	var written bytes.Buffer
	_, err = client.DownloadScrapingJob(t.Context(), 500, writerFunc(func(p []byte) (int, error) {
		if written.Len() == 0 {
			assert.Eventually(t, func() bool { return read.Load() > 1<<20 }, 10*time.Second, time.Millisecond)
		}
		assert.LessOrEqual(t, read.Load(), int64(written.Len())+4<<20, "only a part is held in memory")
		return written.Write(p)
	}), webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, written.Bytes()))
}

func TestDownloadNeedsLittleMemory(t *testing.T) {
	const size = 256 << 20
	transport := roundTripFunc(func(*http.Request) (*http.Response, error) {
		body := io.LimitReader(readerFunc(func(p []byte) (int, error) { return len(p), nil }), size)
		return &http.Response{StatusCode: 200, ContentLength: size, Body: io.NopCloser(body)}, nil
	})
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.EqualValues(t, size, d.Bytes)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/100))
}

func gzipOf(text string) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	send(zw, text)
	zw.Close()
	return b.Bytes()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
