package operations

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// accounts are additional accounts, each with its view of the case.
type accounts struct {
	*systemtest.Accounts
	of map[string]*chaos.Case
}

// addAccounts adds accounts with clouds like the case's. Start workers after that.
func addAccounts(c *chaos.Case, change func(name string, o *webscrapertest.Options), names ...string) accounts {
	c.T.Helper()
	added := accounts{of: map[string]*chaos.Case{}, Accounts: c.AddAccounts(func(name string, o *webscrapertest.Options) {
		for _, like := range c.CloudOptions {
			like(o)
		}
		change(name, o)
	}, names...)}
	for name, system := range added.Of {
		added.of[name] = &chaos.Case{System: system, Entry: c.Entry}
	}
	return added
}

func unchanged(string, *webscrapertest.Options) {}

// untilDeleted waits until all jobs are deleted in the cloud, and requires their records.
func untilDeleted(c *chaos.Case, ids []int64) {
	c.T.Helper()
	c.WaitFor("the deletion of all jobs", func() bool {
		for _, id := range ids {
			if !c.Cloud.Deleted(id) {
				return false
			}
		}
		return true
	})
	for _, id := range ids {
		c.RequireGone(id, 20)
	}
}

// acme's jobs are slow enough to see how many start before globex's.
func TestAccountsTakeTurns(t *testing.T) {
	const backlog, single = 100, 3
	const polls = 2 // of the worker: the tasks they have taken may start later on a loaded machine
	e := chaos.Register(t, fmt.Sprintf("account acme has a backlog of %d jobs on a worker with one slot when account globex finishes one job, %d times", backlog, single),
		"accounts take turns: in addition to those already running, at most one download of acme starts before globex's")
	c := e.On(t, temporaltest.NewFairServer(t).Namespace, postgrestest.NewDatabase(t), "MAX_CONCURRENT_IMPORTS=1")
	added := addAccounts(c, unchanged, "acme", "globex")
	acme, globex := added.of["acme"], added.of["globex"]
	slow := acme.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Effect: webscrapertest.Drip(64, 20*time.Millisecond)})
	c.Worker(c.Spool)
	backlogged := finishTogether(acme, backlog)
	var singles []int64
	most := 0
	var slowest time.Duration
	for range single {
		notified := time.Now()
		id := globex.Finished(20)
		singles = append(singles, id)
		c.WaitFor("its publication", func() bool { return globex.Visible(id) == 20 })
		slowest = max(slowest, time.Since(notified))
		before := c.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE account = 'acme' AND published_at IS NOT NULL`)
		require.Less(t, before, int64(backlog/2), "the backlog is too short")
		more := 0
		queued, taken := firstDownload(c, id)
		for _, other := range backlogged {
			if _, at := firstDownload(c, other); at.After(queued) && at.Before(taken) {
				more++
			}
		}
		require.LessOrEqual(t, more, 1+polls, "globex waited for %d queued downloads of acme", more)
		most = max(most, more)
	}
	c.Observe("at most %d queued downloads of acme started before globex's; globex's slowest job was published after %.1f s", most, slowest.Seconds())
	slow.Remove()
	untilDeleted(globex, singles)
	untilDeleted(acme, backlogged)
	c.RequireEmptySpools()
	c.Observe("%d × 20 records once", backlog+single)
}

// firstDownload returns when the job's first download was queued, and when a worker took it,
// once it has ended.
func firstDownload(c *chaos.Case, id int64) (queued, taken time.Time) {
	c.T.Helper()
	for _, event := range c.History(c.Runs(id)[0]).GetEvents() {
		switch {
		case event.GetActivityTaskStartedEventAttributes() != nil:
			return queued, event.GetEventTime().AsTime()
		case event.GetActivityTaskScheduledEventAttributes() != nil && queued.IsZero():
			queued = event.GetEventTime().AsTime()
		}
	}
	return queued, taken
}

func TestAccountsDoNotWaitForEachOther(t *testing.T) {
	const jobs = 40
	c := chaos.Begin(t, fmt.Sprintf("three accounts finish %d jobs each: acme's token is withdrawn (401), another program spends every window of globex, initech has no problem", jobs),
		"initech does not wait; acme's refused token is reported once; globex continues in its next window, acme after the reconciliation that finds its token valid",
		"API_CALLS_PER_15_MINUTES=200")
	added := addAccounts(c, func(name string, o *webscrapertest.Options) {
		if name == "globex" {
			o.RateLimitCalls, o.RateLimitWindow = windowCalls, windowLength
		}
	}, "acme", "globex", "initech")
	acme, globex, initech := added.of["acme"], added.of["globex"], added.of["initech"]
	token := added.Token("acme")
	acme.Cloud.SetTokens()
	ctx, stop := context.WithCancel(t.Context())
	var other sync.WaitGroup
	spend := func() {
		for range windowCalls {
			callOfAnotherProgram(ctx, globex)
		}
	}
	spend()
	other.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) { // leaves the processors to others
			callOfAnotherProgram(ctx, globex)
		}
	})
	defer other.Wait()
	defer stop()
	c.Worker(c.Spool)
	for _, name := range []string{"acme", "globex", "initech"} {
		c.DB.MustExec(`INSERT INTO scrapehaul.api_budgets (account, window_length) VALUES ($1, make_interval(secs => $2))`, name, windowLength.Seconds())
	}
	ids := map[string][]int64{}
	var mu sync.Mutex
	var finishing sync.WaitGroup
	started := time.Now()
	for name, of := range added.of {
		finishing.Go(func() {
			finished := finishTogether(of, jobs)
			mu.Lock()
			defer mu.Unlock()
			ids[name] = finished
		})
	}
	finishing.Wait()
	untilDeleted(initech, ids["initech"])
	c.Observe("initech's %d × 20 records are there after %.0f s", jobs, time.Since(started).Seconds())
	c.WaitFor("acme's imports in Temporal's list", func() bool { return c.ListedAttention() == jobs })
	published := c.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE account = 'globex' AND published_at IS NOT NULL`)
	require.Less(t, published, int64(jobs), "globex's window was not spent")
	c.Observe("by then %d of globex are published, and %d of acme need attention", published, jobs)
	_, err := c.Programs.RunStarter(t.Context(), c.Env, "list", "--needs-attention")
	require.ErrorContains(t, err, "exit status 3")
	listed := err.Error()
	sentence := fmt.Sprintf("account acme: Web Scraper Cloud refuses its API token; %d imports wait; once the workers' WEBSCRAPER_API_TOKENS is fixed, reconciliation or starter import retries them", jobs)
	require.Equal(t, 1, strings.Count(listed, "refuses"), listed)
	require.Contains(t, listed, sentence)
	c.Observe("`list` reports once “%s”", sentence)

	stop()
	other.Wait()
	untilDeleted(globex, ids["globex"])
	require.Equal(t, jobs, c.ListedAttention())
	acme.Cloud.SetTokens(token)
	c.Reconcile(fmt.Sprintf("%d of %d jobs are due", jobs, jobs))
	untilDeleted(acme, ids["acme"])
	c.RequireEmptySpools()
	c.Observe("in the end %d × 20 records once, each job then deleted in the cloud", 3*jobs)
}

func TestTokensRotatedDuringImports(t *testing.T) {
	const jobs, rotations = 40, 4
	c := chaos.Begin(t, fmt.Sprintf("the API tokens of two accounts are rotated %d times in their file while %d jobs of each are imported, without a restart", rotations, jobs),
		"each call uses the current token; imports refused in between continue by themselves")
	added := addAccounts(c, unchanged, "acme", "globex")
	c.Worker(c.Spool)
	ids := map[string][]int64{}
	for name, of := range added.of {
		of.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Effect: webscrapertest.Drip(256, 10*time.Millisecond)})
		ids[name] = finishTogether(of, jobs)
	}
	for n := range int64(rotations) {
		c.WaitFor("some more imports", func() bool {
			return c.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE published_at IS NOT NULL`) >= (n+1)*jobs/(rotations+1)
		})
		added.Rotate("acme")
		added.Rotate("globex")
	}
	refused := 0
	c.WaitFor("the end of all, or their retry", func() bool {
		waiting := c.ListedAttention()
		if waiting > 0 {
			refused = max(refused, waiting)
			_, err := c.Programs.RunStarter(t.Context(), c.Env, "reconcile")
			require.NoError(t, err)
		}
		for name, of := range added.of {
			for _, id := range ids[name] {
				if !of.Cloud.Deleted(id) {
					return false
				}
			}
		}
		return true
	})
	for name, of := range added.of {
		untilDeleted(of, ids[name])
	}
	c.RequireEmptySpools()
	c.Observe("%d × 20 records once, each job then deleted in the cloud; %d imports were refused in between, and retried by the reconciliation", 2*jobs, refused)
}

func TestTwoAccountsWithOneID(t *testing.T) {
	c := chaos.Begin(t, "accounts acme and globex have a job with the same ID; acme's is imported and held, and later gone",
		"globex's is refused with a reason, counted, and reported by `doctor`; nothing is mixed up, and nothing of globex is deleted", "HOLD_BEFORE_DELETE=1h")
	added := addAccounts(c, unchanged, "acme", "globex")
	acme, globex := added.of["acme"], added.of["globex"]
	c.Worker(c.Spool)
	id := acme.Finished(100)
	c.WaitForStep(id, workflows.StepHold)
	globex.Cloud.AddJob(webscrapertest.Job{ID: id, SitemapName: "of-globex", Records: webscrapertest.Products(77, 2)})
	refusals := func() int64 { return c.Count(`SELECT count(*) FROM scrapehaul.refused_jobs WHERE account = 'globex'`) }
	globex.Notify(id) // while acme's is held
	c.WaitFor("the refusal", func() bool { return refusals() == 1 })
	c.WaitForStep(id, workflows.StepHold)

	c.Signal(id, workflows.DeleteNowSignal)
	acme.RequireImported(id, 100)
	globex.Notify(id) // a run of its own
	c.WaitForAnswer("the other run", func() bool { return len(c.Runs(id)) == 2 })
	result := c.Result(id)
	require.Equal(t, workflows.Refused, result.Outcome, result.Reason)
	require.Equal(t, fmt.Sprintf(`scraping job %d belongs to account "acme" here; the job of account "globex" with the same ID is not imported`, id), result.Reason)
	c.Observe("“%s”", result.Reason)
	c.Reconcile("0 of 1 jobs are due")

	acme.RequireOneDownload(id, 100)
	require.Equal(t, int64(1), c.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs`))
	globex.RequireInCloud(id)
	require.Zero(t, globex.Downloads(id))
	counted := false
	for _, text := range c.Scrape() {
		counted = counted || strings.Contains(text, `scrapehaul_refused_jobs_total{account="globex"}`)
	}
	require.True(t, counted, "no counter")
	_, err := c.Programs.RunStarter(t.Context(), c.Env, "doctor")
	require.ErrorContains(t, err, "scraping jobs reported by account globex in the last 24 hours and refused because account acme has published jobs with these IDs: "+fmt.Sprint(id))
	c.Observe("`doctor` reports it as something to fix")
}

func TestAccountTakenOutOfTheSettings(t *testing.T) {
	const jobs = 5
	c := chaos.Begin(t, fmt.Sprintf("account acme is removed from the settings while %d of its imports are held, and added again later", jobs),
		"its imports wait, which is reported once for all; those of globex continue; once acme is back, its imports continue after a reconciliation", "HOLD_BEFORE_DELETE=1h")
	added := addAccounts(c, unchanged, "acme", "globex")
	acme, globex := added.of["acme"], added.of["globex"]
	worker := c.Worker(c.Spool)
	var ids []int64
	for range jobs {
		ids = append(ids, acme.Finished(20))
	}
	for _, id := range ids {
		c.WaitForStep(id, workflows.StepHold)
	}
	require.NoError(t, worker.Stop())
	with := c.Env
	c.Env = c.Env.With("WEBSCRAPER_API_TOKENS_FILE", added.Without("acme"))
	worker = c.Worker(c.Spool)
	for _, id := range ids {
		c.Signal(id, workflows.DeleteNowSignal)
	}
	says := c.Attention(ids[0])
	require.Contains(t, says, `the workers have no API token for account "acme"`)
	c.WaitFor("all of them in Temporal's list", func() bool { return c.ListedAttention() == jobs })
	_, err := c.Programs.RunStarter(t.Context(), c.Env, "list", "--needs-attention")
	require.ErrorContains(t, err, "exit status 3")
	listed := err.Error()
	sentence := fmt.Sprintf("account acme: the workers have no API token for it; %d imports wait; once the workers' WEBSCRAPER_API_TOKENS is fixed, reconciliation or starter import retries them", jobs)
	require.Contains(t, listed, sentence)
	c.Observe("`list` reports “%s”", sentence)
	other := globex.Finished(20)
	c.WaitForStep(other, workflows.StepHold)
	c.Reconcile("0 of 1 jobs are due")
	require.Equal(t, jobs, c.ListedAttention())
	for _, id := range ids {
		acme.RequireInCloud(id)
	}

	require.NoError(t, worker.Stop())
	c.Env = with
	c.Worker(c.Spool)
	c.Reconcile(fmt.Sprintf("%d imports that need attention are retrying", jobs))
	untilDeleted(acme, ids)
	c.Signal(other, workflows.DeleteNowSignal)
	untilDeleted(globex, []int64{other})
	c.RequireEmptySpools()
	c.Observe("%d × 20 records once, each job then deleted in the cloud", jobs+1)
}

func TestSecondAccountOfAnEarlierInstallation(t *testing.T) {
	e := chaos.Register(t, "an installation with one account, data in its database and a held import gets a second account, by settings and a restart",
		"everything existing belongs to account default, unchanged; the second account's sitemap of the same name gets its own view")
	databaseURL := postgrestest.NewDatabase(t)
	script, err := os.ReadFile("../../../../postgres/testdata/databases/version-5.sql")
	require.NoError(t, err)
	earlier, err := sqlx.Open("postgres", databaseURL)
	require.NoError(t, err)
	_, err = earlier.Exec(string(script))
	require.NoError(t, err)
	require.NoError(t, earlier.Close()) // discards the script's session settings
	c := e.On(t, temporaltest.NewNamespace(t), databaseURL, "HOLD_BEFORE_DELETE=1h")
	records := func() int64 { return c.Count(`SELECT count(*) FROM scrapehaul.scraped_records`) }
	phones := func(view string) int64 { return c.Count(`SELECT count(*) FROM sitemaps.` + view) }
	worker := c.Worker(c.Spool)
	before := records()
	held := finishedOf(c, "phones")
	require.NoError(t, worker.Stop())

	acme := addAccounts(c, unchanged, "acme").of["acme"]
	c.Worker(c.Spool)
	id := finishedOf(acme, "phones")
	require.Equal(t, before+2*20, records())
	require.Equal(t, [3]int64{3 + 20, 20, 0}, [3]int64{phones(`phones`), phones(`"acme:phones"`), phones(`phones WHERE account <> 'default'`)})
	for _, each := range []int64{held, id} {
		c.Signal(each, workflows.DeleteNowSignal)
	}
	c.RequireImported(held, 20)
	acme.RequireImported(id, 20)
	c.Observe("the %d earlier records are there, and those of both accounts", before)
}

// finishedOf is finished for a job of that sitemap; it waits for the hold.
func finishedOf(c *chaos.Case, sitemapName string) (id int64) {
	c.T.Helper()
	id = c.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemapName, Records: webscrapertest.Products(20, 1)})
	c.Notify(id)
	c.WaitForStep(id, workflows.StepHold)
	return id
}
