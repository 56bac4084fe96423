package activities_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// limit gives the account that many calls per window.
func (w *world) limit(calls int) {
	w.ledger = postgres.NewLedger(w.db, sink.DefaultAccount, calls)
	w.use(w.client(apiToken), w.ledger)
}

// calls counts the API calls so far, by kind.
func (w *world) calls() map[string]int {
	calls := map[string]int{}
	for _, r := range w.cloud.Requests() {
		kind := strings.TrimPrefix(r.Path, webscrapertest.BasePath)
		switch {
		case strings.HasSuffix(kind, "/json"):
			kind = "download"
		case r.Method == http.MethodDelete:
			kind = "delete"
		case strings.HasPrefix(kind, "scraping-job/"):
			kind = "check"
		}
		calls[kind]++
	}
	return calls
}

func (w *world) downloadIfDue(id int64, name string) (activities.DownloadScrapingJobResult, error) {
	return run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: id, File: name, IfDue: &activities.IfDue{}})
}

func TestNothingIsSentWithoutACallLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(2)
	one := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	another := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	downloaded, err := w.downloadIfDue(one, "one.json")
	require.NoError(t, err)
	require.Positive(t, downloaded.Bytes)
	require.Zero(t, downloaded.Wait)

	waits, err := w.downloadIfDue(another, "another.json")
	require.NoError(t, err)
	require.InDelta(t, 15*time.Minute, waits.Wait, float64(time.Minute))
	require.Equal(t, activities.DownloadScrapingJobResult{Wait: waits.Wait}, waits)
	require.Equal(t, map[string]int{"check": 1, "download": 1}, w.calls())

	listed, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: 1})
	require.NoError(t, err)
	require.Positive(t, listed.Wait)
	require.Equal(t, map[string]int{"check": 1, "download": 1}, w.calls())
}

func TestCheckOfAJobThatIsNotDueCostsOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Status: "started"})
	_, err := w.downloadIfDue(id, file)
	require.NoError(t, err)
	state, err := w.ledger.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, state.Taken)
}

func TestNothingIsSentUntilTheRateLimitResets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.TooManyRequests(90 * time.Second)})
	for range 3 {
		listed, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: 1})
		require.NoError(t, err)
		require.InDelta(t, 91*time.Second, listed.Wait, float64(10*time.Second))
	}
	require.Len(t, w.cloud.Requests(), 1)
}

func TestConcurrentChecksShareCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const jobs = 30
	var ids []int64
	for range jobs {
		ids = append(ids, w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)}))
	}
	var running sync.WaitGroup
	for _, id := range ids {
		running.Go(func() {
			download, err := w.downloadIfDue(id, "job-"+time.Now().Format("150405.000000000")+".json")
			if err != nil || download.Described == nil || download.Described.Job.ScrapingJobID != id || download.Bytes == 0 {
				t.Errorf("job %d: %+v, %v", id, download, err)
			}
		})
	}
	running.Wait()
	calls := w.calls()
	require.Equal(t, jobs, calls["download"])
	require.Less(t, calls["check"]+calls["scraping-jobs"], jobs)
	state, err := w.ledger.State(t.Context())
	require.NoError(t, err)
	require.Len(t, w.cloud.Requests(), state.Taken, "each is counted once")
}

func TestJobMissingFromTheListIsCheckedSeparately(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var together []int64
	for range 10 {
		together = append(together, w.cloud.AddJob(webscrapertest.Job{Status: "started"}))
	}
	together = append(together, 999_999)
	var running sync.WaitGroup
	for _, id := range together {
		running.Go(func() {
			download, err := w.downloadIfDue(id, file)
			if err != nil || download.Described == nil || download.Described.Found == (id == 999_999) {
				t.Errorf("job %d: %+v, %v", id, download, err)
			}
		})
	}
	running.Wait()
	require.Positive(t, w.calls()["scraping-jobs"])
}

func (w *world) checkTogether(ids []int64) {
	var running sync.WaitGroup
	for _, id := range ids {
		running.Go(func() {
			if _, err := w.downloadIfDue(id, file); err != nil {
				w.t.Error(err)
			}
		})
	}
	running.Wait()
}

func (w *world) runningJobs(n int) (ids []int64) {
	for range n {
		ids = append(ids, w.cloud.AddJob(webscrapertest.Job{Status: "started"}))
	}
	return ids
}

func TestListsFindTheirPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.runningJobs(1500)
	for round := range 6 {
		w.checkTogether(ids[720+10*round : 730+10*round])
	}
	calls := w.calls()
	require.Less(t, calls["check"], 45, "the first lists miss")
	require.Positive(t, calls["scraping-jobs"])
}

func TestListsThatServeNoCheckAreNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.runningJobs(1000)
	const rounds = 30
	for round := range rounds {
		var apart []int64
		for n := range 10 {
			apart = append(apart, ids[100*n+round])
		}
		w.checkTogether(apart)
	}
	require.Less(t, w.calls()["scraping-jobs"], rounds)
}

func TestListsThatFailDoNotPreventChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.Inject(webscrapertest.Fault{Path: "scraping-jobs", Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	ids := w.runningJobs(10)
	const rounds = 12
	failed := 0
	for range rounds {
		failed = 0
		var running sync.WaitGroup
		var mu sync.Mutex
		for _, id := range ids {
			running.Go(func() {
				if _, err := w.downloadIfDue(id, file); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed++
				}
			})
		}
		running.Wait()
	}
	require.Zero(t, failed)
	require.Less(t, w.calls()["scraping-jobs"], rounds)
}

// An earlier list is too old to decide on a deletion.
func TestDeletionDoesNotUseAnEarlierList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var inputs []activities.DeleteScrapingJobInput
	for range 6 {
		_, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
		inputs = append(inputs, in)
	}
	last := inputs[5]
	var deleting sync.WaitGroup
	for _, in := range inputs[:5] {
		deleting.Go(func() {
			result, err := run[activities.DeleteScrapingJobResult](w, "DeleteScrapingJob", in)
			if err != nil || !result.Deleted {
				t.Errorf("job %d: %+v, %v", in.Job.ScrapingJobID, result, err)
			}
		})
	}
	deleting.Wait()
	require.NotZero(t, w.calls()["scraping-jobs"], "the list had the last job too")
	require.NoError(t, w.cloud.SetStatus(last.Job.ScrapingJobID, "started"))
	result := w.delete(last)
	require.True(t, result.Changed)
	require.False(t, w.cloud.Deleted(last.Job.ScrapingJobID))
}

func TestFailedLedgerIsNotReportedAsACloudError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{})
	broken := postgres.NewLedger(connect(t, postgrestest.NewDatabase(t)), sink.DefaultAccount, 200) // without a schema
	w.use(w.client(apiToken), broken)
	_, err := w.downloadIfDue(id, file)
	requireFailure(t, err, activities.ErrorDatabaseRefuses, false)
	require.Empty(t, w.cloud.Requests())
}
