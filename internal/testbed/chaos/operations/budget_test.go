package operations

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// A window of the API with few calls, one of them for manual use, and jobs that need more;
// it is short enough for a test.
const (
	windowCalls  = 40
	windowLength = 10 * time.Second
	windowJobs   = 20
)

// otherProgram is a query parameter of calls by another program.
const otherProgram = "other-program"

// beginWithWindow starts a case, with a worker, in which the API allows that many calls per
// window.
func beginWithWindow(t *testing.T, calls int, length time.Duration, happens, holds string) *chaos.Case {
	t.Helper()
	return withWindow(chaos.Register(t, happens, holds), t, calls, length)
}

func withWindow(e *chaos.Entry, t *testing.T, calls int, length time.Duration) *chaos.Case {
	t.Helper()
	e.CloudOptions = append(e.CloudOptions, func(o *webscrapertest.Options) {
		o.RateLimitCalls, o.RateLimitWindow = calls, length
	})
	c := e.On(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t), "API_CALLS_PER_15_MINUTES="+strconv.Itoa(calls))
	c.Worker(c.Spool)
	c.DB.MustExec(`INSERT INTO scrapehaul.api_budgets (account, window_length) VALUES ('default', make_interval(secs => $1))
		ON CONFLICT (account) DO UPDATE SET window_length = excluded.window_length`, length.Seconds())
	return c
}

// finishTogether adds finished jobs of 20 records, and sends their notifications
// concurrently, as many at a time as a development server answers on a loaded machine.
func finishTogether(c *chaos.Case, jobs int) (ids []int64) {
	c.T.Helper()
	var notified sync.WaitGroup
	atATime := make(chan struct{}, 20)
	for range jobs {
		id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
		ids = append(ids, id)
		atATime <- struct{}{}
		notified.Go(func() {
			c.Notify(id)
			<-atATime
		})
	}
	notified.Wait()
	return ids
}

// requireAllGone requires that jobs sharing a window each are imported by one run, and none
// of their calls was refused more than once.
func requireAllGone(c *chaos.Case, ids []int64) {
	c.T.Helper()
	for _, id := range ids {
		c.RequireGone(id, 20)
		require.Len(c.T, c.Runs(id), 1)
	}
	c.RequireEmptySpools()
	calls, refused, others, ofJob := 0, 0, 0, map[int64]int{}
	var first, last time.Time
	for _, call := range c.Cloud.Requests() {
		if call.Query.Get(otherProgram) != "" {
			others++
			continue
		}
		if calls++; calls == 1 {
			first = call.Time
		}
		last = call.Time
		if call.Status != http.StatusTooManyRequests {
			continue
		}
		refused++
		if call.ID != 0 { // not a list, which is for several jobs
			ofJob[call.ID]++
			require.Equal(c.T, 1, ofJob[call.ID], "calls of scraping job %d were refused more than once", call.ID)
		}
	}
	c.Observe("%d × 20 records once, then deleted in the cloud, in %.0f s; %d calls, %d refused, none of a job twice",
		len(ids), last.Sub(first).Seconds(), calls, refused)
	if others > 0 {
		c.Observe("%d calls by the other program meanwhile", others)
	}
}

// untilAnImportWaits waits until an import shows that it waits for the API's rate limit, and
// until when.
func untilAnImportWaits(c *chaos.Case, ids []int64) {
	c.T.Helper()
	c.WaitForAnswer("an import that shows that it waits", func() bool {
		for _, id := range ids {
			if p := c.Progress(id); p.WaitsFor == "the API's rate limit" && p.WaitsUntil != nil {
				require.WithinDuration(c.T, time.Now(), *p.WaitsUntil, time.Minute)
				return true
			}
		}
		return false
	})
	c.Observe("“waits for the API's rate limit until …”")
}

func TestBudgetSpent(t *testing.T) {
	const jobs, window = 300, 5 * time.Second // instead of 15 minutes
	c := withWindow(chaos.RegisterAlone(t, "300 jobs finish at the same time, which takes about 1,000 calls; the API allows 200 per window",
		"the calls of a window are made immediately, the others wait for the next one; no import fails"), t, 200, window)
	c.Worker(t.TempDir())
	ids := finishTogether(c, jobs)
	requireAllGone(c, ids)
}

func TestAnotherProgramSpendsHalf(t *testing.T) {
	const calls = windowCalls / 2 // few enough to be spent on a loaded machine, too
	c := beginWithWindow(t, calls, windowLength, "another program with the same token spends half of every window",
		"the remaining calls reported by the API count; the imports wait for the next window, and say so")
	ctx, stop := context.WithCancel(t.Context())
	var other sync.WaitGroup
	other.Go(func() {
		every := time.NewTicker(windowLength / (calls / 2))
		defer every.Stop()
		for ctx.Err() == nil {
			callOfAnotherProgram(ctx, c)
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
	})
	defer other.Wait()
	defer stop()
	ids := finishTogether(c, windowJobs/2)
	untilAnImportWaits(c, ids)
	requireAllGone(c, ids)
}

// callOfAnotherProgram gets the account, whatever the response.
func callOfAnotherProgram(ctx context.Context, c *chaos.Case) {
	url := fmt.Sprintf("%saccount?%s=1&api_token=%s", c.Cloud.URL, otherProgram, c.Env.APIToken)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		_ = response.Body.Close()
	}
}

func TestRefusalInABurst(t *testing.T) {
	const pause = 8 * time.Second
	c := beginWithWindow(t, 200, 15*time.Minute, "the API refuses all calls for 8 s in the middle of a burst (429, Retry-After), although its window has calls left; there are two workers",
		"each job is refused at most once, on either worker; all continue when the API allows it")
	c.Worker(t.TempDir())
	var started sync.Once
	var until time.Time
	refusal := c.Cloud.Inject(webscrapertest.Fault{After: 15, Effect: func(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
		started.Do(func() { until = time.Now().Add(pause) })
		if left := time.Until(until); left > 0 {
			return webscrapertest.TooManyRequests(left)(cloud, next)
		}
		return next
	}})
	ids := finishTogether(c, windowJobs)
	untilAnImportWaits(c, ids)
	requireAllGone(c, ids)
	require.NotZero(t, refusal.Hits())
	for _, call := range c.Cloud.Requests() {
		if call.Status == http.StatusTooManyRequests { // in flight when the first was answered
			require.True(t, call.Time.Before(until.Add(-pause/2)), "a useless call was sent")
		}
	}
}

func TestWindowIsShared(t *testing.T) {
	c := beginWithWindow(t, windowCalls, windowLength, "two workers and a starter that keeps running `account` and `jobs` share one window",
		"together they stay within the window; manual calls go first, but take none that is reserved for an import")
	c.Worker(t.TempDir())
	ids := finishTogether(c, windowJobs)
	deadline := time.Now().Add(3 * time.Minute)
	open, slowest, commands, notSent := true, time.Duration(0), 0, 0
	for ; open; commands++ {
		started := time.Now()
		if _, err := c.Programs.RunStarter(t.Context(), c.Env, []string{"account", "jobs"}[commands%2]); err != nil {
			require.ErrorContains(t, err, "the account has no call left for ") // which only account does not wait for
			notSent++
		}
		slowest = max(slowest, time.Since(started))
		require.True(t, time.Now().Before(deadline), "the imports do not end")
		open = slices.ContainsFunc(ids, func(id int64) bool { return !c.Cloud.Deleted(id) })
	}
	require.Greater(t, commands, 2)
	c.Observe("%d commands, the slowest took %.0f s; %s, account reported no calls left", commands, slowest.Seconds(), chaos.Times(notSent, "time"))
	requireAllGone(c, ids)
}

func TestLedgerIsLocked(t *testing.T) {
	c := beginWithWindow(t, windowCalls, windowLength, "a hanging transaction of another session has locked the row of the account's budget",
		"within a minute, the failure names the blocking session; no call is made meanwhile, and then the imports continue")
	holder, err := c.DB.Beginx()
	require.NoError(t, err)
	_, err = holder.Exec(`SET LOCAL application_name = 'a person'`)
	require.NoError(t, err)
	_, err = holder.Exec(`SELECT FROM scrapehaul.api_budgets FOR UPDATE`)
	require.NoError(t, err)
	notified := time.Now()
	ids := finishTogether(c, 5)
	says := c.Failure(ids[0], "(a person, ")
	took := time.Since(notified)
	require.Less(t, took, time.Minute)
	require.Empty(t, c.Cloud.Requests())
	require.NoError(t, holder.Rollback())
	c.Observe("after %.0f s the failure said: “…%s…”", took.Seconds(), says[strings.Index(says, "waiting for"):])
	requireAllGone(c, ids)
}

func TestWrongClock(t *testing.T) {
	for name, by := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			c := beginWithWindow(t, windowCalls, windowLength, "the clock of one of two workers is an hour "+name,
				"only the database's clock counts: calls are made and wait as usual")
			c.Programs.Worker = buildWithWrongClock(t, by)
			started, spool := time.Now().Add(by), t.TempDir()
			c.Worker(spool)
			c.WaitFor("its log, with the wrong time", func() bool {
				return strings.Contains(c.Log.String(), started.Format(`{"time":"2006-01-02T15:`)) ||
					strings.Contains(c.Log.String(), time.Now().Add(by).Format(`{"time":"2006-01-02T15:`))
			})
			ids := finishTogether(c, windowJobs)
			untilAnImportWaits(c, ids)
			requireAllGone(c, ids)
			steps := stepsOf(c, ids, spool)
			require.NotZero(t, steps)
			c.Observe("%d steps ran on that worker", steps)
		})
	}
}

// stepsOf counts the jobs' activities that ran on a spool's worker.
func stepsOf(c *chaos.Case, ids []int64, spool string) (n int) {
	for _, id := range ids {
		for _, event := range c.History(c.Runs(id)[0]).GetEvents() {
			if strings.HasSuffix(event.GetActivityTaskStartedEventAttributes().GetIdentity(), ":"+spool) {
				n++
			}
		}
	}
	return n
}

// buildWithWrongClock builds a worker whose clock is wrong. This needs a different package
// time; it is compiled under the name of the original source file, so that packages built
// with the original one can be linked with it.
func buildWithWrongClock(t *testing.T, by time.Duration) (worker string) {
	t.Helper()
	run := func(args ...string) string {
		command := exec.CommandContext(t.Context(), "go", args...)
		var problems strings.Builder
		command.Stderr = &problems
		output, err := command.Output()
		require.NoError(t, err, "%s", &problems)
		return strings.TrimSpace(string(output))
	}
	folder, source := t.TempDir(), filepath.Join(run("env", "GOROOT"), "src", "time", "time.go")
	write := func(name, content string) (file string) {
		file = filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		return file
	}
	right, err := os.ReadFile(source)
	require.NoError(t, err)
	const reads = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()"
	require.Contains(t, string(right), reads)
	wrong := write("time.go", strings.Replace(string(right), reads, fmt.Sprintf("%s; sec += %d", reads, int(by.Seconds())), 1))
	overlay := write("overlay.json", fmt.Sprintf(`{"Replace": {%q: %q}}`, source, wrong))
	wrongTime := run("list", "-export", "-overlay", overlay, "-gcflags=time=-trimpath="+wrong+"=>$GOROOT/src/time/time.go", "-f", "{{.Export}}", "time")

	const module = "github.com/scrapehaul/scrapehaul/worker"
	packages := run("list", "-export", "-deps", "-f", "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}", module)
	packages = regexp.MustCompile(`(?m)^packagefile time=.*$`).ReplaceAllLiteralString(packages, "packagefile time="+wrongTime)
	compiled := regexp.MustCompile(`(?m)^packagefile ` + module + `=(.*)$`).FindStringSubmatch(packages)
	worker = filepath.Join(folder, "worker")
	run("tool", "link", "-importcfg", write("packages", packages), "-s", "-w", "-o", worker, compiled[1])
	return worker
}
