package activities_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Size of the downloads, in records and bytes, and where they break.
const (
	records    = 1000
	size       = records * 520
	nineTenths = size * 9 / 10
)

// attempts makes attempts at a download, each in its own environment.
type attempts struct {
	*world
	id     int64
	source activities.Source
	// reported is the last heartbeat so far; the next attempt gets it.
	reported atomic.Pointer[activities.Progress]
}

func newAttempts(t *testing.T, changes ...func(*webscrapertest.Options)) *attempts {
	w := newWorld(t, changes...)
	return &attempts{world: w, id: w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)})}
}

// next prepares an attempt.
func (a *attempts) next() *testsuite.TestActivityEnvironment {
	env := a.environment()
	if reported := a.reported.Load(); reported != nil {
		env.SetHeartbeatDetails(*reported)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var progress activities.Progress
		if err := details.Get(&progress); err != nil {
			a.t.Errorf("reading a heartbeat: %v", err)
		}
		a.reported.Store(&progress)
	})
	return env
}

func (a *attempts) run(env *testsuite.TestActivityEnvironment) (activities.DownloadScrapingJobResult, error) {
	return runIn[activities.DownloadScrapingJobResult](a.world, env, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file, Source: a.source})
}

// inject applies the effect to the next download.
func (a *attempts) inject(effect webscrapertest.Effect) *webscrapertest.Injection {
	return a.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/*", Times: 1, Effect: effect})
}

// breaks makes an attempt that fails because of the effect.
func (a *attempts) breaks(effect webscrapertest.Effect) {
	a.t.Helper()
	a.inject(effect)
	_, err := a.run(a.next())
	requireFailure(a.t, err, activities.ErrorCloud, true)
}

// succeeds makes an attempt that downloads the records, and returns its request.
func (a *attempts) succeeds(records webscrapertest.Records) webscrapertest.Request {
	a.t.Helper()
	download, err := a.run(a.next())
	require.NoError(a.t, err)
	a.requireFile(download, records)
	require.Equal(a.t, []string{file}, a.files(), "nothing else is left")
	return a.lastAnswered()
}

func (a *attempts) requireFile(download activities.DownloadScrapingJobResult, records webscrapertest.Records) {
	a.t.Helper()
	want, err := io.ReadAll(records.Open())
	require.NoError(a.t, err)
	path := filepath.Join(a.spool, file)
	got, err := os.ReadFile(path)
	require.NoError(a.t, err)
	require.Equal(a.t, string(want), string(got))
	sum := sha256.Sum256(want)
	require.Equal(a.t, activities.DownloadScrapingJobResult{Bytes: int64(len(want)), SHA256: hex.EncodeToString(sum[:]), Format: a.source.Format}, download)
	info, err := os.Stat(path)
	require.NoError(a.t, err)
	require.Equal(a.t, os.FileMode(0o600), info.Mode())
}

// requireLeft requires that the only file is the reported partial one.
func (a *attempts) requireLeft(bytes int64) {
	a.t.Helper()
	reported := a.reported.Load()
	require.Equal(a.t, bytes, reported.Bytes)
	require.Equal(a.t, int64(size), reported.OfBytes)
	require.Equal(a.t, []string{reported.Partial}, a.files())
	info, err := os.Stat(filepath.Join(a.spool, reported.Partial))
	require.NoError(a.t, err)
	require.Equal(a.t, bytes, info.Size())
	require.Equal(a.t, os.FileMode(0o600), info.Mode())
}

func TestBrokenDownloadIsResumed(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.ResetAt(10_000))
	require.Empty(t, a.files(), "a compressed download cannot be resumed")

	a.breaks(webscrapertest.Truncate(0))
	require.Empty(t, a.files(), "nothing was received")

	a.breaks(webscrapertest.Truncate(size / 2))
	require.Empty(t, a.lastRequest().Range)
	a.requireLeft(size / 2)

	a.breaks(webscrapertest.Truncate(nineTenths - size/2))
	require.Equal(t, fmt.Sprintf("bytes=%d-", size/2), a.lastRequest().Range)
	a.requireLeft(nineTenths)

	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), request.Range)
	require.Equal(t, http.StatusPartialContent, request.Status)
	require.Equal(t, int64(size-nineTenths), request.Bytes, "only the rest is transferred")
}

func TestDownloadIsCompressedUntilOneBreaks(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.FailWith(http.StatusServiceUnavailable))
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Less(t, request.Bytes, int64(size))
}

func TestDownloadOfOtherContentStartsOver(t *testing.T) {
	t.Parallel()
	changed := webscrapertest.Products(records, 2)
	for name, after := range map[string]int64{"shorter": size / 10, "as long": nineTenths, "longer": size - 1} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t)
			a.breaks(webscrapertest.Truncate(nineTenths))
			before := *a.reported.Load()

			// The download of the other content breaks too and is resumed.
			require.NoError(t, a.cloud.SetRecords(a.id, changed))
			a.breaks(webscrapertest.Truncate(after))
			require.NotEqual(t, before.Partial, a.reported.Load().Partial)
			require.NotEqual(t, before.Validator, a.reported.Load().Validator)
			a.requireLeft(after)
			request := a.succeeds(changed)
			require.Equal(t, fmt.Sprintf("bytes=%d-", after), request.Range)
			require.Equal(t, http.StatusPartialContent, request.Status)
		})
	}
}

// The worker was killed before its heartbeat was sent, and the content is again that of the
// heartbeat before.
func TestLostHeartbeatMixesNothing(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	before := a.reported.Load()
	require.NoError(t, a.cloud.SetRecords(a.id, webscrapertest.Products(records, 2)))
	a.breaks(webscrapertest.Truncate(size / 2))
	leftover := a.reported.Load().Partial

	a.reported.Store(before)
	require.NoError(t, a.cloud.SetRecords(a.id, webscrapertest.Products(records, 1)))
	download, err := a.run(a.next())
	require.NoError(t, err)
	a.requireFile(download, webscrapertest.Products(records, 1))
	require.ElementsMatch(t, []string{file, leftover}, a.files(), "RemoveFile removes the leftover")
}

func TestServerWithoutValidatorsSendsTheCompleteFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noRanges)
	for range 2 {
		a.breaks(webscrapertest.ResetAt(10_000))
		require.True(t, a.reported.Load().Compressed)
		require.Empty(t, a.files())
		a.breaks(webscrapertest.Truncate(nineTenths))
		require.False(t, a.reported.Load().Compressed, "it may have a validator then")
		require.Empty(t, a.reported.Load().Partial)
		require.Empty(t, a.files())
	}
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Empty(t, request.Range)
	require.Less(t, request.Bytes, int64(size), "compressed, as uncompressed has no advantage")
}

func TestServerThatIgnoresRangesSendsTheCompleteFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noRanges)
	partial := file + ".partial-1"
	a.write(partial, strings.Repeat("other", 1000))
	a.reported.Store(&activities.Progress{Partial: partial, Validator: `"other"`})
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Equal(t, "bytes=5000-", request.Range)
	require.Equal(t, http.StatusOK, request.Status)
}

func TestDownloadWithoutItsPartialFileStartsOver(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t)
			a.breaks(webscrapertest.Truncate(nineTenths))
			require.NoError(t, lose(filepath.Join(a.spool, a.reported.Load().Partial)))
			require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
		})
	}
}

func TestPartialFileOfAnotherDownloadIsLeftAlone(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("mine"), 0o600))
	const other = "scrapingjob-1-run-10.json.partial-1"
	for _, partial := range []string{
		other, file + "0.partial-1", ".scrapehaul-spool", outside, "../" + filepath.Base(outside),
		file + ".partial-1/../" + other, file + ".partial-/../../" + filepath.Base(outside),
	} {
		t.Run(partial, func(t *testing.T) {
			a := newAttempts(t)
			for _, name := range []string{other, file + "0.partial-1"} {
				a.write(name, "theirs")
			}
			a.breaks(webscrapertest.Truncate(nineTenths))
			reported := *a.reported.Load()
			reported.Partial = partial
			a.reported.Store(&reported)
			download, err := a.run(a.next())
			require.NoError(t, err)
			a.requireFile(download, webscrapertest.Products(records, 1))
			require.Empty(t, a.lastRequest().Range)
			for _, name := range []string{other, file + "0.partial-1"} {
				content, err := os.ReadFile(filepath.Join(a.spool, name))
				require.NoError(t, err)
				require.Equal(t, "theirs", string(content))
			}
			require.FileExists(t, outside)
			require.FileExists(t, filepath.Join(a.spool, ".scrapehaul-spool"))
		})
	}
}

func TestLinkOutOfTheSpoolIsNotFollowed(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	partial := filepath.Join(a.spool, a.reported.Load().Partial)
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Rename(partial, outside))
	require.NoError(t, os.Symlink(outside, partial))
	_, err := a.run(a.next())
	requireFailure(t, err, activities.ErrorOther, true)
	require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
	require.FileExists(t, outside)
}

func TestFullDiskRemovesThePartialFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	a.steps.Spool = openSpool(t, a.spool, math.MaxInt64/2)
	_, err := a.run(a.next())
	requireFailure(t, err, activities.ErrorDiskFull, true)
	require.Empty(t, a.files())

	a.steps.Spool = openSpool(t, a.spool, 0)
	require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
}

func TestDownloadStartsOverWithoutRoomForTwoFiles(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	require.NoError(t, os.Truncate(filepath.Join(a.spool, a.reported.Load().Partial), 1<<40)) // sparse
	require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
}

func TestRefusedRequestForTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		effect  webscrapertest.Effect
		kind    string
		resumes bool
	}{
		"not answered":   {webscrapertest.Reset(), activities.ErrorCloud, true},
		"503":            {webscrapertest.FailWithHTML(503), activities.ErrorCloud, true},
		"rate limited":   {webscrapertest.TooManyRequests(time.Minute), activities.ErrorRateLimited, true},
		"token refused":  {webscrapertest.FailWith(401), activities.ErrorTokenRefused, false},
		"job is deleted": {webscrapertest.FailWith(404), activities.ErrorJobGone, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t)
			a.breaks(webscrapertest.Truncate(nineTenths))
			a.inject(c.effect)
			_, err := a.run(a.next())
			requireFailure(t, err, c.kind, c.resumes)
			if !c.resumes {
				require.Empty(t, a.files())
				return
			}
			require.Equal(t, []string{a.reported.Load().Partial}, a.files())
			_, err = a.db.ExecContext(t.Context(), `UPDATE scrapehaul.api_budgets SET resets_at = now()`) // the refusal is over
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.succeeds(webscrapertest.Products(records, 1)).Range)
		})
	}
}

type outcome struct {
	download activities.DownloadScrapingJobResult
	err      error
}

// hangs starts an attempt that hangs, because of the effect, when its file has that many
// bytes.
func (a *attempts) hangs(env *testsuite.TestActivityEnvironment, bytes int64, effect webscrapertest.Effect) <-chan outcome {
	a.t.Helper()
	a.inject(effect)
	ended := make(chan outcome, 1)
	go func() {
		download, err := a.run(env)
		ended <- outcome{download, err}
	}()
	require.Eventually(a.t, func() bool {
		reported := a.reported.Load()
		if reported == nil {
			return false
		}
		info, err := os.Stat(filepath.Join(a.spool, reported.Partial))
		return err == nil && info.Mode().IsRegular() && info.Size() == bytes
	}, waitAtMost, pollEvery)
	return ended
}

func TestStoppingWorkerLeavesItsPartialFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noGzip)
	stop := make(chan struct{})
	env := a.next()
	env.SetWorkerStopChannel(stop)
	ended := a.hangs(env, nineTenths, webscrapertest.HangAt(nineTenths))
	close(stop)
	requireFailure(t, (<-ended).err, activities.ErrorWorkerStopping, true)
	a.requireLeft(nineTenths)

	// So does one that stops before the next attempt gets a slot.
	activities.FillSlots(a.steps)
	env = a.next()
	env.SetWorkerStopChannel(stop)
	_, err := a.run(env)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	a.requireLeft(nineTenths)

	activities.UnboundSlots(a.steps)
	require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.succeeds(webscrapertest.Products(records, 1)).Range)
}

func TestOnlyADownloadThatIsNotResumedLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause   error
		resumes bool
	}{
		"canceled":                 {temporal.NewCanceledError(), false},
		"given to another attempt": {serviceerror.NewNotFound("activity has timed out"), false},
		"paused":                   {activity.ErrActivityPaused, true},
		"Temporal is unreachable":  {serviceerror.NewUnavailable("connection refused"), true},
		"timed out":                {context.DeadlineExceeded, true},
		"the worker did not wait":  {context.Canceled, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t, noGzip)
			ctx, cancel := context.WithCancelCause(t.Context())
			env := a.next()
			env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
			ended := a.hangs(env, nineTenths, webscrapertest.HangAt(nineTenths))
			cancel(c.cause)
			require.Error(t, (<-ended).err)
			if !c.resumes {
				require.Empty(t, a.files())
				return
			}
			require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.succeeds(webscrapertest.Products(records, 1)).Range)
		})
	}
}

// A stale attempt, which Temporal has timed out, keeps writing while another one downloads
// the same file.
func TestStaleAttemptDoesNoHarm(t *testing.T) {
	t.Parallel()
	const more = 1000 // than it had when the other one started
	for name, c := range map[string]struct {
		content webscrapertest.Records
		written int64
	}{
		"same content":  {webscrapertest.Products(records, 1), nineTenths + more},
		"other content": {webscrapertest.Products(records, 2), more},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t, noGzip)
			staleContinues, continues := make(chan struct{}), make(chan struct{})
			stale := a.hangs(a.next(), nineTenths, pauseAt(nineTenths, staleContinues))
			require.NoError(t, a.cloud.SetRecords(a.id, c.content))
			ended := a.hangs(a.next(), c.written, pauseAt(more, continues))
			require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
			close(staleContinues)
			require.Error(t, (<-stale).err, "its file was taken over")

			close(continues)
			got := <-ended
			require.NoError(t, got.err)
			a.requireFile(got.download, c.content)
			require.Equal(t, []string{file}, a.files())
		})
	}
}

// pauseAt sends the first n bytes of the body, and the rest once resume is closed.
func pauseAt(n int64, resume <-chan struct{}) webscrapertest.Effect {
	return func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&pausingWriter{ResponseWriter: rw, rest: n, wait: func() {
				select {
				case <-resume:
				case <-r.Context().Done():
				}
			}}, r)
		})
	}
}

// pausingWriter waits after rest more bytes.
type pausingWriter struct {
	http.ResponseWriter
	rest int64
	wait func()
}

func (w *pausingWriter) Write(p []byte) (int, error) {
	if int64(len(p)) <= w.rest {
		w.rest -= int64(len(p))
		return w.ResponseWriter.Write(p)
	}
	first, err := w.ResponseWriter.Write(p[:w.rest])
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	if err != nil {
		return first, err
	}
	w.wait()
	w.rest = math.MaxInt64
	rest, err := w.ResponseWriter.Write(p[first:])
	return first + rest, err
}
