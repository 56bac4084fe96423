package temporalserver

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// downloadedScript has the flags that the server is started with.
const downloadedScript = "#!/bin/sh\necho '--ip string --port int --namespace strings --headless --ui-port int --db-filename string --dynamic-config-value KEY=VALUE '\n"

// archiveOf packs a program as Temporal's releases are packed.
func archiveOf(t *testing.T, name, program string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	files := tar.NewWriter(zipped)
	for _, file := range []struct{ name, content string }{{"LICENSE", "MIT"}, {name, program}} {
		require.NoError(t, files.WriteHeader(&tar.Header{Name: file.name, Mode: 0o755, Size: int64(len(file.content))}))
		_, err := files.Write([]byte(file.content))
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(files.Close(), zipped.Close()))
	return packed.Bytes()
}

// offering responds like temporal.download, with an archive on the same server.
func offering(archive http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cli/"+cliVersion, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("platform") != runtime.GOOS || r.FormValue("arch") != runtime.GOARCH {
			http.Error(w, "not for this machine", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"archiveUrl": "http://%s/cli.tar.gz", "fileToExtract": "temporal"}`, r.Host)
	})
	mux.HandleFunc("GET /cli.tar.gz", archive)
	return mux
}

func bytesOf(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
}

func textOf(format string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, format, r.Host)
	})
}

// silence never responds.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// downloadsFrom returns downloads with long timeouts. Tests of silent servers set their own.
func downloadsFrom(t *testing.T, server http.Handler) downloads {
	t.Helper()
	serving := httptest.NewServer(server)
	t.Cleanup(serving.Close)
	return downloads{url: serving.URL, idleTimeout: time.Minute, timeout: time.Minute}
}

func buildsNothing(context.Context, string) error {
	return errors.New("unexpected build")
}

func TestDownloadAvoidsTheBuild(t *testing.T) {
	t.Parallel()
	from := downloadsFrom(t, offering(bytesOf(archiveOf(t, "temporal", downloadedScript))))
	target := filepath.Join(t.TempDir(), "temporal")

	require.NoError(t, obtain(t.Context(), from, target, func(string) {}, buildsNothing))
	content, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, downloadedScript, string(content))
}

func TestWithoutAUsableDownloadTheCLIIsBuilt(t *testing.T) {
	t.Parallel()
	complete := archiveOf(t, "temporal", downloadedScript)
	damaged := bytes.Clone(complete)
	damaged[len(damaged)-8] ^= 1 // the checksum
	const soon, never = 100 * time.Millisecond, time.Minute
	for name, c := range map[string]struct {
		server      http.Handler
		idleTimeout time.Duration
		timeout     time.Duration
		why         string
	}{
		"no response":                  {http.HandlerFunc(silence), soon, never, "nothing arrived for 100ms"},
		"the archive does not arrive":  {offering(silence), soon, never, "nothing arrived for 100ms"},
		"the archive stalls":           {offering(stalling(complete[:20])), soon, never, "nothing arrived for 100ms"},
		"it takes too long":            {http.HandlerFunc(silence), never, soon, "it takes longer than 100ms"},
		"there is no such release":     {http.NotFoundHandler(), never, never, "404 Not Found"},
		"there is no such archive":     {offering(http.NotFound), never, never, "404 Not Found"},
		"a proxy's own page":           {textOf("<html>Please sign in, %s</html>"), never, never, "reading the release"},
		"an archive of another scheme": {textOf(`{"archiveUrl": "file://%s/temporal.tar.gz"}`), never, never, "want a URL with http"},
		"an archive of another kind":   {textOf(`{"archiveUrl": "http://%s/temporal.zip"}`), never, never, "ends in .tar.gz"},
		"garbage":                      {offering(bytesOf([]byte("no archive"))), never, never, "gzip: invalid header"},
		"half an archive":              {offering(bytesOf(complete[:len(complete)/2])), never, never, "unexpected EOF"},
		"a truncated archive":          {offering(bytesOf(complete[:len(complete)-4])), never, never, "unexpected EOF"},
		"a damaged archive":            {offering(bytesOf(damaged)), never, never, "gzip: invalid checksum"},
		"a broken connection":          {offering(breaking(complete)), never, never, "unexpected EOF"},
		"an archive of something else": {offering(bytesOf(archiveOf(t, "temporal.exe", downloadedScript))), never, never, "not in the archive"},
		"a program that does not run":  {offering(bytesOf(archiveOf(t, "temporal", "#!/bin/sh\nexit 1\n"))), never, never, "exit status 1"},
		"a program of another machine": {offering(bytesOf(archiveOf(t, "temporal", "\x7fELF"))), never, never, "exec format error"},
		"a program that is too old":    {offering(bytesOf(archiveOf(t, "temporal", "#!/bin/sh\necho '--ip string'\n"))), never, never, "is too old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := downloadsFrom(t, c.server)
			from.idleTimeout, from.timeout = c.idleTimeout, c.timeout
			target := filepath.Join(t.TempDir(), "temporal")
			var said string
			err := obtain(t.Context(), from, target, func(step string) { said = step }, func(_ context.Context, target string) error {
				require.NoFileExists(t, target)
				return os.WriteFile(target, []byte("built"), 0o700)
			})
			require.NoError(t, err)
			require.Contains(t, said, c.why)
			content, err := os.ReadFile(target)
			require.NoError(t, err)
			require.Equal(t, "built", string(content))
		})
	}
}

// stalling sends the start of an archive and then nothing.
func stalling(beginning []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(beginning)
		w.(http.Flusher).Flush()
		silence(w, r)
	}
}

// breaking ends the connection in the middle of the archive.
func breaking(archive []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
		_, _ = w.Write(archive[:len(archive)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestSlowDownloadIsBetterThanNoCLI(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	answers := offering(bytesOf(archiveOf(t, "temporal", downloadedScript)))
	from := downloadsFrom(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			silence(w, r)
			return
		}
		answers.ServeHTTP(w, r)
	}))
	from.idleTimeout = 100 * time.Millisecond
	target := filepath.Join(t.TempDir(), "temporal")

	require.NoError(t, obtain(t.Context(), from, target, func(string) {}, buildsNothing))
	require.FileExists(t, target)
}

func TestFailedDownloadAndBuildAreBothReported(t *testing.T) {
	t.Parallel()
	err := obtain(t.Context(), downloadsFrom(t, http.NotFoundHandler()), filepath.Join(t.TempDir(), "temporal"), func(string) {}, buildsNothing)
	require.ErrorContains(t, err, "unexpected build")
	require.ErrorContains(t, err, "404 Not Found")
}

func TestInterruptedDownloadLeavesNothingAndBuildsNothing(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	from := downloadsFrom(t, offering(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(archiveOf(t, "temporal", downloadedScript)[:30])
		w.(http.Flusher).Flush()
		interrupt(interrupted)
		silence(w, r)
	}))
	dir := t.TempDir()
	program := filepath.Join(dir, "temporal")
	_, err := obtainOnce(ctx, program, func(string) {}, func(ctx context.Context, target string) error {
		return obtain(ctx, from, target, func(string) {}, buildsNothing)
	})
	require.ErrorIs(t, err, interrupted)
	requireOnly(t, dir, "temporal.lock")
}

func TestConcurrentCallersDownloadOnce(t *testing.T) {
	t.Parallel()
	var downloaded atomic.Int32
	archive := archiveOf(t, "temporal", downloadedScript)
	from := downloadsFrom(t, offering(func(w http.ResponseWriter, _ *http.Request) {
		downloaded.Add(1)
		_, _ = w.Write(archive)
	}))
	dir := t.TempDir()
	program := filepath.Join(dir, "temporal")
	require.NoError(t, os.WriteFile(program+".unfinished-1", []byte("of a killed process"), 0o600))
	var starters sync.WaitGroup
	for range 8 {
		starters.Go(func() {
			got, err := obtainOnce(t.Context(), program, func(string) {}, func(ctx context.Context, target string) error {
				return obtain(ctx, from, target, func(string) {}, buildsNothing)
			})
			if err != nil || got != program {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	starters.Wait()
	require.EqualValues(t, 1, downloaded.Load())
	requireOnly(t, dir, "temporal", "temporal.lock")
}

func TestCachedProgramIsUsedWithoutTheNetwork(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "temporal")
	require.NoError(t, os.WriteFile(program, []byte(downloadedScript), 0o700))

	got, err := obtainOnce(t.Context(), program, func(step string) { t.Error(step) }, buildsNothing)
	require.NoError(t, err)
	require.Equal(t, program, got)
}

func TestWaitingForADownloadIsBounded(t *testing.T) {
	t.Parallel()
	require.Equal(t, 5*time.Second, newDownloads().idleTimeout)
	require.Contains(t, newDownloads().url, "https://")
}

func requireOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	var found []string
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, file := range files {
		found = append(found, file.Name())
	}
	require.Equal(t, names, found)
}
