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

// The downloads here, in records and in bytes, and where they break.
const (
	records    = 1000
	size       = records * 520
	nineTenths = size * 9 / 10
)

// attempts is a download attempt by attempt, each in an environment of its own.
type attempts struct {
	*world
	id     int64
	source activities.Source
	// told is the last heartbeat so far; the next attempt gets it.
	told atomic.Pointer[activities.Progress]
}

func newAttempts(t *testing.T, changes ...func(*webscrapertest.Options)) *attempts {
	w := newWorld(t, changes...)
	return &attempts{world: w, id: w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)})}
}

// next prepares an attempt.
func (a *attempts) next() *testsuite.TestActivityEnvironment {
	env := a.environment()
	if told := a.told.Load(); told != nil {
		env.SetHeartbeatDetails(*told)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var progress activities.Progress
		if err := details.Get(&progress); err != nil {
			a.t.Errorf("reading a heartbeat: %v", err)
		}
		a.told.Store(&progress)
	})
	return env
}

func (a *attempts) run(env *testsuite.TestActivityEnvironment) (activities.DownloadScrapingJobResult, error) {
	return runIn[activities.DownloadScrapingJobResult](a.world, env, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file, Source: a.source})
}

// inject lets the effect happen to the next download.
func (a *attempts) inject(effect webscrapertest.Effect) *webscrapertest.Injection {
	return a.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/*", Times: 1, Effect: effect})
}

// breaks makes an attempt that the effect breaks.
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

// requireLeft requires that the only file is a partial one, of which the next
// attempt knows.
func (a *attempts) requireLeft(bytes int64) {
	a.t.Helper()
	told := a.told.Load()
	require.Equal(a.t, bytes, told.Bytes)
	require.Equal(a.t, int64(size), told.OfBytes)
	require.Equal(a.t, []string{told.Partial}, a.files())
	info, err := os.Stat(filepath.Join(a.spool, told.Partial))
	require.NoError(a.t, err)
	require.Equal(a.t, bytes, info.Size())
	require.Equal(a.t, os.FileMode(0o600), info.Mode())
}

func TestBrokenDownloadGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.ResetAt(10_000))
	require.Empty(t, a.files(), "what came compressed is of no use")

	a.breaks(webscrapertest.Truncate(0))
	require.Empty(t, a.files(), "nothing has come")

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

func TestDownloadIsCompressedUntilOneHasBroken(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.FailWith(http.StatusServiceUnavailable))
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Less(t, request.Bytes, int64(size))
}

func TestDownloadOfOtherContentBeginsAnew(t *testing.T) {
	t.Parallel()
	changed := webscrapertest.Products(records, 2)
	for name, after := range map[string]int64{"shorter": size / 10, "as long": nineTenths, "longer": size - 1} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t)
			a.breaks(webscrapertest.Truncate(nineTenths))
			before := *a.told.Load()

			// The other content breaks too, and is gone on with.
			require.NoError(t, a.cloud.SetRecords(a.id, changed))
			a.breaks(webscrapertest.Truncate(after))
			require.NotEqual(t, before.Partial, a.told.Load().Partial)
			require.NotEqual(t, before.Validator, a.told.Load().Validator)
			a.requireLeft(after)
			request := a.succeeds(changed)
			require.Equal(t, fmt.Sprintf("bytes=%d-", after), request.Range)
			require.Equal(t, http.StatusPartialContent, request.Status)
		})
	}
}

// The worker was killed before its heartbeat was sent, and the content is back
// to what the heartbeat before that told of.
func TestLostHeartbeatMixesNothing(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	before := a.told.Load()
	require.NoError(t, a.cloud.SetRecords(a.id, webscrapertest.Products(records, 2)))
	a.breaks(webscrapertest.Truncate(size / 2))
	leftover := a.told.Load().Partial

	a.told.Store(before)
	require.NoError(t, a.cloud.SetRecords(a.id, webscrapertest.Products(records, 1)))
	download, err := a.run(a.next())
	require.NoError(t, err)
	a.requireFile(download, webscrapertest.Products(records, 1))
	require.ElementsMatch(t, []string{file, leftover}, a.files(), "RemoveFile takes the leftover")
}

func TestServerWithoutValidatorsSendsTheWholeFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noRanges)
	for range 2 {
		a.breaks(webscrapertest.ResetAt(10_000))
		require.True(t, a.told.Load().Compressed)
		require.Empty(t, a.files())
		a.breaks(webscrapertest.Truncate(nineTenths))
		require.False(t, a.told.Load().Compressed, "perhaps it has a validator then")
		require.Empty(t, a.told.Load().Partial)
		require.Empty(t, a.files())
	}
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Empty(t, request.Range)
	require.Less(t, request.Bytes, int64(size), "compressed: there is nothing to gain without")
}

func TestServerThatIgnoresRangesSendsTheWholeFile(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noRanges)
	partial := file + ".partial-1"
	a.write(partial, strings.Repeat("other", 1000))
	a.told.Store(&activities.Progress{Partial: partial, Validator: `"other"`})
	request := a.succeeds(webscrapertest.Products(records, 1))
	require.Equal(t, "bytes=5000-", request.Range)
	require.Equal(t, http.StatusOK, request.Status)
}

func TestDownloadWithoutItsPartialFileBeginsAnew(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(path string) error{
		"gone":  os.Remove,
		"empty": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t)
			a.breaks(webscrapertest.Truncate(nineTenths))
			require.NoError(t, lose(filepath.Join(a.spool, a.told.Load().Partial)))
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
			told := *a.told.Load()
			told.Partial = partial
			a.told.Store(&told)
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
	partial := filepath.Join(a.spool, a.told.Load().Partial)
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Rename(partial, outside))
	require.NoError(t, os.Symlink(outside, partial))
	_, err := a.run(a.next())
	requireFailure(t, err, activities.ErrorOther, true)
	require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
	require.FileExists(t, outside)
}

func TestFullDiskTakesThePartialFileAlong(t *testing.T) {
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

func TestDownloadBeginsAnewWhenThereIsNoRoomForTwo(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.breaks(webscrapertest.Truncate(nineTenths))
	require.NoError(t, os.Truncate(filepath.Join(a.spool, a.told.Load().Partial), 1<<40)) // occupies nothing
	require.Empty(t, a.succeeds(webscrapertest.Products(records, 1)).Range)
}

func TestRefusedRequestForTheRest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		effect webscrapertest.Effect
		kind   string
		goesOn bool
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
			requireFailure(t, err, c.kind, c.goesOn)
			if !c.goesOn {
				require.Empty(t, a.files())
				return
			}
			require.Equal(t, []string{a.told.Load().Partial}, a.files())
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

// hangs begins an attempt that the effect lets hang when its file has so many
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
		told := a.told.Load()
		if told == nil {
			return false
		}
		info, err := os.Stat(filepath.Join(a.spool, told.Partial))
		return err == nil && info.Mode().IsRegular() && info.Size() == bytes
	}, waitAtMost, pollEvery)
	return ended
}

func TestStoppingWorkerLeavesWhatItHas(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noGzip)
	stop := make(chan struct{})
	env := a.next()
	env.SetWorkerStopChannel(stop)
	ended := a.hangs(env, nineTenths, webscrapertest.HangAt(nineTenths))
	close(stop)
	requireFailure(t, (<-ended).err, activities.ErrorWorkerStopping, true)
	a.requireLeft(nineTenths)

	// So does one that stops before there is a slot for the next attempt.
	activities.FillSlots(a.steps)
	env = a.next()
	env.SetWorkerStopChannel(stop)
	_, err := a.run(env)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	a.requireLeft(nineTenths)

	activities.UnboundSlots(a.steps)
	require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.succeeds(webscrapertest.Products(records, 1)).Range)
}

func TestOnlyADownloadThatNobodyGoesOnWithLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cause  error
		goesOn bool
	}{
		"cancelled":                {temporal.NewCanceledError(), false},
		"given to another attempt": {serviceerror.NewNotFound("activity has timed out"), false},
		"paused":                   {activity.ErrActivityPaused, true},
		"Temporal is not heard of": {serviceerror.NewUnavailable("connection refused"), true},
		"longer than its time":     {context.DeadlineExceeded, true},
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
			if !c.goesOn {
				require.Empty(t, a.files())
				return
			}
			require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.succeeds(webscrapertest.Products(records, 1)).Range)
		})
	}
}

// A late attempt, which Temporal has given up, goes on writing while another one
// downloads the same file.
func TestLateAttemptDoesNoHarm(t *testing.T) {
	t.Parallel()
	const more = 1000 // than it had when the other one began
	for name, c := range map[string]struct {
		content webscrapertest.Records
		written int64
	}{
		"same content":  {webscrapertest.Products(records, 1), nineTenths + more},
		"other content": {webscrapertest.Products(records, 2), more},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttempts(t, noGzip)
			lateGoesOn, goesOn := make(chan struct{}), make(chan struct{})
			late := a.hangs(a.next(), nineTenths, pauseAt(nineTenths, lateGoesOn))
			require.NoError(t, a.cloud.SetRecords(a.id, c.content))
			ended := a.hangs(a.next(), c.written, pauseAt(more, goesOn))
			require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
			close(lateGoesOn)
			require.Error(t, (<-late).err, "its file was taken over")

			close(goesOn)
			got := <-ended
			require.NoError(t, got.err)
			a.requireFile(got.download, c.content)
			require.Equal(t, []string{file}, a.files())
		})
	}
}

// pauseAt sends the first n bytes of the body, and the others when goOn is
// closed.
func pauseAt(n int64, goOn <-chan struct{}) webscrapertest.Effect {
	return func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&pausingWriter{ResponseWriter: rw, rest: n, wait: func() {
				select {
				case <-goOn:
				case <-r.Context().Done():
				}
			}}, r)
		})
	}
}

// pausingWriter waits when rest more bytes have been sent.
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
