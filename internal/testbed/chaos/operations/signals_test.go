package operations

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// inEveryState takes an import through its states and calls do in each one before the hold.
func inEveryState(c *chaos.Case, do func(id int64)) (id int64) {
	c.T.Helper()
	c.Worker(c.Spool)
	c.SlowImport()
	c.SlowDownload(1)
	describing := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DescribeCall, Effect: webscrapertest.FailWith(http.StatusInternalServerError)})
	id = c.Finished(chaos.Many)
	c.WaitFor("the description", func() bool { return describing.Hits() > 0 })
	do(id)
	describing.Remove()
	c.UntilDownloading(c.Spool)
	do(id)
	c.RequireDownloading(id)
	c.UntilImported(id, 2000)
	do(id)
	c.RequireHalf(id, chaos.Many)
	return id
}

func untilHold(c *chaos.Case, id int64) {
	c.T.Helper()
	c.WaitForStep(id, workflows.StepHold)
}

func TestUnsolicitedDecisions(t *testing.T) {
	c := chaos.Begin(t, "`accept` and `delete-now` arrive while the job is described, downloaded and imported", "ignored: they would delete what nobody has seen",
		"HOLD_BEFORE_DELETE=1h")
	id := inEveryState(c, func(id int64) {
		c.Signal(id, workflows.AcceptSignal)
		c.Signal(id, workflows.DeleteNowSignal)
	})
	untilHold(c, id)
	c.RequireInCloud(id)
	c.Observe("held nevertheless")
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, chaos.Many)
}

func TestNotificationsAtEveryStep(t *testing.T) {
	c := chaos.Begin(t, "notifications arrive while the job is described, downloaded, imported and held", "imported once: its content has not changed", "HOLD_BEFORE_DELETE=1h")
	id := inEveryState(c, c.Notify)
	untilHold(c, id)
	c.Notify(id)
	untilHold(c, id)
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestReimportsAtEveryStep(t *testing.T) {
	c := chaos.Begin(t, "`reimport` arrives while the job is described, downloaded, imported and held", "imported again afterwards, replacing its records atomically",
		"HOLD_BEFORE_DELETE=1h")
	id := inEveryState(c, func(id int64) { c.Signal(id, workflows.ReimportSignal) })
	held := func(imports int64) {
		c.WaitFor("the import", func() bool { return c.Imports(id) == imports })
		c.WaitForStep(id, workflows.StepHold)
		require.Equal(t, imports, c.Imports(id))
	}
	held(2)
	c.Signal(id, workflows.ReimportSignal)
	held(3)
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, chaos.Many)
}

func TestKeepAtEveryStep(t *testing.T) {
	c := chaos.Begin(t, "`keep` arrives while the job is described, downloaded and imported", "imported, and never deleted in the cloud")
	id := inEveryState(c, func(id int64) { c.Signal(id, workflows.KeepSignal) })
	result := c.Result(id)
	require.Equal(t, workflows.Kept, result.Outcome, result.Reason)
	c.RequireOneDownload(id, chaos.Many)
	c.RequireInCloud(id)
	c.RequireEmptySpools()
	c.Observe("%s records once, outcome %s: “%s”", humanize.Comma(chaos.Many), result.Outcome, result.Reason)
}

func TestDecisionsWithNotifications(t *testing.T) {
	c := chaos.Begin(t, "while no worker is running, held imports receive `keep`, `abandon` or `delete-now`, and a notification each, so that both take effect together",
		"both take effect: the job is checked again, and the decision counts", "HOLD_BEFORE_DELETE=1h")
	worker := c.Worker(c.Spool)
	decisions := map[string]workflows.Outcome{
		workflows.KeepSignal: workflows.Kept, workflows.AbandonSignal: workflows.Abandoned, workflows.DeleteNowSignal: workflows.Deleted,
	}
	jobs := map[string]int64{}
	for decision := range decisions {
		jobs[decision] = c.Finished(100)
	}
	for _, id := range jobs {
		untilHold(c, id)
	}
	require.NoError(t, worker.Stop())
	for decision, id := range jobs {
		c.Signal(id, decision)
		c.Notify(id)
	}
	c.Worker(c.Spool)
	for decision, outcome := range decisions {
		id := jobs[decision]
		result := c.Result(id)
		require.Equal(t, outcome, result.Outcome, result.Reason)
		require.Equal(t, outcome == workflows.Deleted, c.Cloud.Deleted(id))
		require.Equal(t, int64(100), c.Visible(id))
		require.GreaterOrEqual(t, calls(c, id), 2)
		c.Observe("`%s`: %s", decision, result.Outcome)
	}
}

func TestDeleteNowWithAReimport(t *testing.T) {
	c := chaos.Begin(t, "while no worker is running, a held import receives `delete-now` and `reimport`, so that both take effect together",
		"imported and held again: nobody has seen that import", "HOLD_BEFORE_DELETE=1h")
	worker := c.Worker(c.Spool)
	id := c.Finished(1000)
	untilHold(c, id)
	require.NoError(t, worker.Stop())
	c.Signal(id, workflows.DeleteNowSignal)
	c.Signal(id, workflows.ReimportSignal)
	c.Worker(c.Spool)
	c.WaitFor("the import", func() bool { return c.Imports(id) == 2 })
	untilHold(c, id)
	c.RequireInCloud(id)
	c.Observe("held after %s", chaos.Times(2, "import"))
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, 1000)
}

func TestKeepWhileTheDeletionIsRetried(t *testing.T) {
	c := chaos.Begin(t, "the deletion keeps failing with 503, and an operator sends `keep`", "no further attempt; the job stays in the cloud")
	outage := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Effect: webscrapertest.FailWith(http.StatusServiceUnavailable)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.WaitFor("two attempts", func() bool { return outage.Hits() >= 2 })
	c.Signal(id, workflows.KeepSignal)
	result := c.Result(id)
	require.Equal(t, workflows.Kept, result.Outcome, result.Reason)
	outage.Remove()
	c.RequireOneDownload(id, 1000)
	require.False(t, c.Cloud.Deleted(id))
	c.RequireEmptySpools()
	c.Observe("outcome %s: “%s”", result.Outcome, result.Reason)
}

func TestEverySignalInAttention(t *testing.T) {
	c := chaos.Begin(t, "every signal to imports that need attention because the record counts differ",
		"`delete-now` does nothing, `accept` deletes, `keep` and `abandon` close, a notification and `reimport` retry")
	c.Worker(c.Spool)
	needy := func() int64 {
		return c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	}
	for _, answer := range []struct {
		signal  string
		outcome workflows.Outcome
	}{
		{workflows.AcceptSignal, workflows.Deleted},
		{workflows.KeepSignal, workflows.Kept},
		{workflows.AbandonSignal, workflows.Abandoned},
	} {
		id := needy()
		c.Notify(id)
		c.Attention(id)
		for _, signal := range []string{workflows.NotificationSignal, workflows.ReimportSignal} {
			before := calls(c, id)
			c.Signal(id, signal)
			c.WaitForAnswer("another check", func() bool { return calls(c, id) > before && c.Progress(id).Attention != "" })
		}
		c.Signal(id, workflows.DeleteNowSignal)
		c.RequireInCloud(id)
		c.Signal(id, answer.signal)
		result := c.Result(id)
		require.Equal(t, answer.outcome, result.Outcome, result.Reason)
		require.Equal(t, answer.outcome == workflows.Deleted, c.Cloud.Deleted(id))
		require.Equal(t, int64(1), c.Visible(id))
		c.Observe("`%s`: %s", answer.signal, result.Outcome)
	}
	c.RequireEmptySpools()
}

// calls counts the checks of the job, including those by lists.
func calls(c *chaos.Case, id int64) (n int) {
	for _, request := range c.Cloud.Requests() {
		if request.Path == "scraping-jobs" || request.Path == fmt.Sprintf("scraping-job/%d", id) && request.Method == http.MethodGet {
			n++
		}
	}
	return n
}

func TestNotificationsAtTheMomentOfClosing(t *testing.T) {
	const notifications = 40
	c := chaos.Begin(t, fmt.Sprintf("a job changes %d times, with a notification each, at random times around the end of its workflow", notifications),
		"no notification is lost: readers end up with the job's final content", "HOLD_BEFORE_DELETE=never")
	c.Worker(c.Spool)
	id := c.Finished(1)
	for n := 2; n <= notifications; n++ {
		// Its workflow closes soon after.
		c.WaitFor("the previous import", func() bool { return c.Visible(id) == int64(n-1) })
		time.Sleep(rand.N(300 * time.Millisecond)) // random: before, during or after the end
		require.NoError(t, c.Cloud.SetRecords(id, webscrapertest.Products(n, int64(n))))
		notifyDirectly(c, id, "never")
	}
	runs := c.Completed(id)
	require.Greater(t, runs, 1, "no notification met a closed workflow")
	c.RequireOneDownload(id, notifications)
	c.RequireInCloud(id)
	c.RequireEmptySpools()
	c.Observe("%d runs with %d imports, all completed; the %d records of the last one once", runs, c.Imports(id), notifications)
}

func TestThousandsOfNotificationsInTheHold(t *testing.T) {
	const notifications = 3000
	c := chaos.Begin(t, fmt.Sprintf("%s notifications of one job arrive while it is held (Temporal refuses more than 10,000 signals to a run)", humanize.Comma(notifications)),
		"new runs continue the import; nothing is downloaded again, and few API calls are made", "HOLD_BEFORE_DELETE=24h")
	c.Worker(c.Spool)
	id := c.Finished(1000)
	untilHold(c, id)
	until := *c.Progress(id).DeleteAfter
	const atATime = 8
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			for range notifications / atATime {
				assert.NoError(t, c.Temporal.SignalWorkflow(t.Context(), workflows.WorkflowID(id), "", workflows.NotificationSignal, workflows.Notification{ScrapingJobID: id}))
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())
	c.WaitForAnswer("the hold of a later run", func() bool { return len(c.Runs(id)) > 1 && c.Progress(id).Step == workflows.StepHold })
	require.Equal(t, until, *c.Progress(id).DeleteAfter, "the same hold")
	require.Less(t, calls(c, id), 30)
	c.Observe("%d runs; the job was checked %d times", len(c.Runs(id)), calls(c, id))
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, 1000)
	require.Equal(t, 1, c.Downloads(id))
}

// notifyDirectly sends a notification's signal without the starter, which would combine
// several into one.
func notifyDirectly(c *chaos.Case, id int64, hold string) {
	_, err := workflows.Notify(c.T.Context(), c.Temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: hold})
	require.NoError(c.T, err)
}

func TestNotificationsWhileTheJobIsDeleted(t *testing.T) {
	c := chaos.Begin(t, "twenty notifications and a `reimport` arrive while the job is being deleted in the cloud", "deleted once; its records stay")
	c.Worker(c.Spool)
	deletion := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Times: 1, Effect: webscrapertest.Drip(1, 100*time.Millisecond)})
	id := c.Finished(1000)
	c.WaitFor("the deletion", func() bool { return deletion.Hits() == 1 })
	for range 20 {
		notifyDirectly(c, id, "0")
	}
	_, err := workflows.Reimport(t.Context(), c.Temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "0"})
	require.NoError(t, err)
	c.RequireGone(id, 1000)
	c.RequireEmptySpools()
	c.Observe("1,000 records once after %s, then deleted in the cloud", chaos.Times(c.Completed(id), "run"))
}
