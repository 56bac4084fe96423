package activities_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const sitemap = 12

// scraper is a world with a sitemap.
type scraper struct {
	*world
	before int64 // the ID of the last job before the test
}

func newScraper(t *testing.T) *scraper {
	t.Helper()
	s := &scraper{world: newWorld(t, func(o *webscrapertest.Options) { o.RateLimitCalls = -1 })}
	s.before = s.cloud.AddJob(webscrapertest.Job{SitemapID: sitemap})
	s.use(s.client(apiToken, webscraper.WithTimeout(600*time.Millisecond)), s.ledger)
	activities.Settle(s.steps, time.Millisecond)
	return s
}

// created counts the jobs that were created.
func (s *scraper) created() (n int) {
	for there := true; there; n++ {
		_, there = s.cloud.Job(s.before + int64(n) + 1)
	}
	return n - 1
}

func scrape(customID string) activities.CreateScrapingJobInput {
	return activities.CreateScrapingJobInput{SitemapID: sitemap, Driver: "fast", CustomID: customID}
}

func (s *scraper) create(in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
	s.t.Helper()
	return run[activities.CreateScrapingJobResult](s.world, "CreateScrapingJob", in)
}

func createOn(ctx workflow.Context, in activities.CreateScrapingJobInput, options workflow.ActivityOptions) (result activities.CreateScrapingJobResult, err error) {
	err = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "CreateScrapingJob", in).Get(ctx, &result)
	return result, err
}

// attempts makes up to most attempts, until one succeeds.
func (s *scraper) attempts(in activities.CreateScrapingJobInput, most int32) (result activities.CreateScrapingJobResult, err error) {
	s.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	s.steps.Register(env)
	env.ExecuteWorkflow(func(ctx workflow.Context) (activities.CreateScrapingJobResult, error) {
		return createOn(ctx, in, workflow.ActivityOptions{StartToCloseTimeout: waitAtMost, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: most}})
	})
	if err = env.GetWorkflowError(); err == nil {
		require.NoError(s.t, env.GetWorkflowResult(&result))
	}
	return result, err
}

func (s *scraper) fail(method string, times int, effect webscrapertest.Effect) {
	s.cloud.Inject(webscrapertest.Fault{Method: method, Times: times, Effect: effect})
}

// lost processes the request and replaces the response.
func lost(answer webscrapertest.Effect) webscrapertest.Effect {
	return func(c *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			answer(c, next).ServeHTTP(w, r)
		})
	}
}

// answers responds without processing the request.
func answers(status int, body string) webscrapertest.Effect {
	return func(*webscrapertest.Cloud, http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
}

func TestScrapingJobIsCreatedAsRequested(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	in := scrape("nightly")
	in.Driver, in.PageLoadDelay, in.RequestInterval, in.Proxy = "fulljs", 3*time.Second, 2500*time.Millisecond, "1"
	in.StartURLs = []string{"https://shop.test/?page=1"}
	result, err := s.create(in)
	require.NoError(t, err)
	job, there := s.cloud.Job(result.ScrapingJobID)
	require.True(t, there)
	require.Equal(t, []any{int64(sitemap), "nightly", "fulljs", 3 * time.Second, 2500 * time.Millisecond, "1", in.StartURLs},
		[]any{job.SitemapID, job.CustomID, job.Driver, job.PageLoadDelay, job.RequestInterval, job.Proxy, job.StartURLs})
	require.Equal(t, activities.CreateScrapingJobResult{ScrapingJobID: job.ID}, result)
	require.Len(t, s.cloud.Requests(), 1, "the first attempt does not search")
}

// later breaks the connection and stores a function that processes the request.
func later(processing *atomic.Pointer[func()]) webscrapertest.Effect {
	return func(c *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			request := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
			process := func() { next.ServeHTTP(httptest.NewRecorder(), request) }
			processing.Store(&process)
			webscrapertest.Reset()(c, next).ServeHTTP(w, r)
		})
	}
}

// Whatever happens to the calls, including the second creation: exactly one job is created
// if the API lists it in time.
func TestNothingIsScrapedTwice(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	var late atomic.Pointer[func()]
	creations := map[string]webscrapertest.Effect{
		"succeeds":                   nil,
		"does not arrive":            webscrapertest.Reset(),
		"is refused by a proxy":      webscrapertest.FailWithHTML(http.StatusBadGateway),
		"arrives, then a reset":      lost(webscrapertest.Reset()),
		"arrives, then 502":          lost(webscrapertest.FailWithHTML(http.StatusBadGateway)),
		"arrives, then 500":          lost(webscrapertest.FailWith(http.StatusInternalServerError)),
		"arrives, then silence":      lost(webscrapertest.Hang()),
		"arrives, then no body":      lost(webscrapertest.Empty()),
		"arrives, then no ID":        lost(answers(http.StatusOK, `{"success":true,"data":{"custom_id":"c"}}`)),
		"arrives, then a success":    lost(answers(http.StatusOK, `<html>OK</html>`)),
		"arrives late":               later(&late),
		"arrives, then an error":     lost(answers(http.StatusOK, `{"success":false,"error":"An error occured"}`)),
		"arrives, then a cut answer": webscrapertest.Truncate(5),
	}
	// The late creation arrives during the first search.
	searches := map[string]webscrapertest.Effect{
		"succeeds":      webscrapertest.Drip(1<<20, 0),
		"fails":         webscrapertest.Reset(),
		"502":           webscrapertest.FailWithHTML(http.StatusBadGateway),
		"finds nothing": answers(http.StatusOK, `{"success":true,"data":[],"current_page":1,"last_page":1,"total":0,"per_page":100}`),
	}
	afterwards := func(effect webscrapertest.Effect) webscrapertest.Effect {
		return func(c *webscrapertest.Cloud, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					if process := late.Swap(nil); process != nil {
						(*process)()
					}
				}()
				effect(c, next).ServeHTTP(w, r)
			})
		}
	}
	for first, one := range creations {
		for _, second := range []string{"succeeds", "arrives, then a reset", "arrives late", "is refused by a proxy"} {
			for search, list := range searches {
				name := fmt.Sprintf("a creation %s, the next %s, a search %s", first, second, search)
				var faults []*webscrapertest.Injection
				for _, effect := range []webscrapertest.Effect{one, creations[second]} {
					if effect != nil {
						faults = append(faults, s.cloud.Inject(webscrapertest.Fault{Method: http.MethodPost, Times: 1, Effect: effect}))
					}
				}
				faults = append(faults, s.cloud.Inject(webscrapertest.Fault{Method: http.MethodGet, Times: 1, Effect: afterwards(list)}))
				faults = append(faults, s.cloud.Inject(webscrapertest.Fault{Method: http.MethodGet, Effect: afterwards(searches["succeeds"])}))
				before := s.created()
				result, err := s.attempts(scrape(name), 10)
				require.NoError(t, err, name)
				require.Equal(t, 1, s.created()-before, name)
				job, there := s.cloud.Job(result.ScrapingJobID)
				require.True(t, there, name)
				require.Equal(t, name, job.CustomID)
				for _, fault := range faults {
					fault.Remove()
				}
			}
		}
	}
}

func TestJobOfAnEarlierAttemptIsFound(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	created, err := s.create(scrape("mine"))
	require.NoError(t, err)
	again := scrape("mine")
	again.MayExist = true // a worker that was killed, or a workflow that was reset
	found, err := s.create(again)
	require.NoError(t, err)
	require.Equal(t, activities.CreateScrapingJobResult{ScrapingJobID: created.ScrapingJobID, Found: true}, found)
	env := s.environment()
	env.SetHeartbeatDetails(activities.Progress{Sent: true}) // an attempt whose number was reset
	found, err = runIn[activities.CreateScrapingJobResult](s.world, env, "CreateScrapingJob", scrape("mine"))
	require.NoError(t, err)
	require.True(t, found.Found)
	require.Equal(t, 1, s.created())
}

func TestTwoJobsWithTheCustomIDAreAnError(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	for range 2 {
		_, err := s.create(scrape("nightly"))
		require.NoError(t, err)
	}
	_, err := s.create(scrape("other"))
	require.NoError(t, err)
	in := scrape("nightly")
	in.FindOnly = true
	latest, err := s.create(in)
	require.NoError(t, err)
	require.Equal(t, activities.CreateScrapingJobResult{ScrapingJobID: s.before + 2}, latest)

	in.FindOnly, in.MayExist = false, true
	_, err = s.create(in)
	requireFailure(t, err, activities.ErrorNotCreated, false)
	require.ErrorContains(t, err, fmt.Sprintf(`2 scraping jobs of sitemap 12 have the custom_id "nightly": %d %d; no new one was created`,
		s.before+1, s.before+2))
	require.Equal(t, 3, s.created())
}

// With HOLD_BEFORE_DELETE=0 a job is deleted before its run is repeated.
func TestImportedJobDeletedInTheCloudIsNotScrapedAgain(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	id := s.cloud.AddJob(webscrapertest.Job{SitemapID: sitemap, CustomID: "mine", Records: webscrapertest.Products(3, 1)})
	s.imported(id, 1)
	require.NoError(t, s.client(apiToken).DeleteScrapingJob(t.Context(), id))
	in := scrape(" mine")
	in.FindOnly = true
	found, err := s.create(in)
	require.NoError(t, err)
	require.Equal(t, id, found.ScrapingJobID)
	in.FindOnly, in.MayExist = false, true
	found, err = s.create(in)
	require.NoError(t, err)
	require.Equal(t, activities.CreateScrapingJobResult{ScrapingJobID: id, Found: true}, found)
	in.SitemapID, in.FindOnly = sitemap+1, true
	found, err = s.create(in)
	require.NoError(t, err)
	require.Zero(t, found.ScrapingJobID)
}

// pages serves lists from pages of IDs; the jobs have their ID as custom_id.
func (s *scraper) pages(read *[]string, pages ...[]int) *webscrapertest.Injection {
	return s.cloud.Inject(webscrapertest.Fault{Effect: func(*webscrapertest.Cloud, http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			*read = append(*read, strconv.Itoa(page))
			var jobs []string
			for _, id := range pages[page-1] {
				jobs = append(jobs, fmt.Sprintf(`{"id":%d,"custom_id":"%d"}`, id, id))
			}
			_, _ = fmt.Fprintf(w, `{"success":true,"data":[%s],"current_page":%d,"last_page":%d}`, strings.Join(jobs, ","), page, len(pages))
		})
	}})
}

func TestSearchReadsOnlyThePagesItNeeds(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	many := func(next func(page int) []int) (pages [][]int) {
		for n := range 30 {
			pages = append(pages, next(n))
		}
		return pages
	}
	for name, c := range map[string]struct {
		pages       [][]int
		custom      string
		read        string
		id          int64
		wantFailure string
	}{
		"up":                  {pages: [][]int{{1, 2}, {3, 4}, {5, 6}}, custom: "6", read: "1 3 2", id: 6},
		"up, an emptied page": {pages: [][]int{{1, 2}, {3, 4}, {}}, custom: "4", read: "1 3 2", id: 4},
		"down":                {pages: [][]int{{6, 5}, {4, 3}, {2, 1}}, custom: "1", read: "1 2 3", id: 1},
		"in no order":         {pages: [][]int{{5, 1, 9}, {4, 3}, {2, 7}}, custom: "7", read: "1 2 3", id: 7},
		"many":                {pages: many(func(n int) []int { return []int{2*n + 1, 2*n + 2} }), custom: "59", read: "1 30 29 28 27 26 25 24 23 22", id: 59},
		"many, in no order":   {pages: many(func(n int) []int { return []int{3*n + 1, 3*n + 3, 3*n + 2} }), custom: "9", read: "1", wantFailure: "sitemap 12 has 30 pages of scraping jobs, in no order"},
	} {
		t.Run(name, func(t *testing.T) {
			var read []string
			defer s.pages(&read, c.pages...).Remove()
			in := scrape(c.custom)
			in.FindOnly = true
			result, err := s.create(in)
			require.Equal(t, c.read, strings.Join(read, " "))
			if c.wantFailure != "" {
				requireFailure(t, err, activities.ErrorNotCreated, false)
				require.ErrorContains(t, err, c.wantFailure)
				return
			}
			require.NoError(t, err)
			require.Equal(t, activities.CreateScrapingJobResult{ScrapingJobID: c.id}, result)
		})
	}
}

func TestInvalidCreationFailsImmediately(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(*activities.CreateScrapingJobInput)
		effect   webscrapertest.Effect
		kind     string
		sentence string
		calls    int
	}{
		"no such driver": {change: func(in *activities.CreateScrapingJobInput) { in.Driver = "slow" },
			kind: activities.ErrorRequestRefused, sentence: "driver: The selected driver is invalid.", calls: 1},
		"refused with a success": {effect: answers(http.StatusOK, `{"success":false,"validationErrors":{"proxy":["The proxy is odd."]}}`),
			kind: activities.ErrorRequestRefused, sentence: "proxy: The proxy is odd.", calls: 1},
		"no such sitemap": {effect: webscrapertest.FailWith(http.StatusNotFound),
			kind: activities.ErrorNotCreated, sentence: "Web Scraper Cloud has no sitemap 12", calls: 1},
		"a wrong token": {effect: webscrapertest.FailWith(http.StatusUnauthorized),
			kind: activities.ErrorTokenRefused, sentence: "fix WEBSCRAPER_API_TOKEN of the workers", calls: 1},
		"no custom_id": {change: func(in *activities.CreateScrapingJobInput) { in.CustomID = " " },
			kind: activities.ErrorNotCreated, sentence: "needs a custom_id"},
		"too few page credits": {change: func(in *activities.CreateScrapingJobInput) { in.MinPageCredits = 501 },
			kind: activities.ErrorPageCredits, sentence: "the account has 500 page credits, min_page_credits is 501", calls: 1},
		"a rerun of a deleted job": {change: func(in *activities.CreateScrapingJobInput) { in.RerunOf = 999 },
			kind: activities.ErrorNotCreated, sentence: "scraping job 999 was deleted in Web Scraper Cloud (HOLD_BEFORE_DELETE), and its list of failed and empty pages with it", calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScraper(t)
			in := scrape("mine")
			if c.change != nil {
				c.change(&in)
			}
			if c.effect != nil {
				s.fail(http.MethodPost, 0, c.effect)
			}
			_, err := s.attempts(in, 5)
			requireFailure(t, err, c.kind, false)
			require.ErrorContains(t, err, c.sentence)
			require.Len(t, s.cloud.Requests(), c.calls)
			require.Zero(t, s.created())
		})
	}
}

func TestRerunScrapesTheFailedAndEmptyPages(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	url := func(n int) string { return "https://shop.test/" + strconv.Itoa(n) }
	var problems []webscrapertest.ProblematicURL
	var want []string
	for n := range 120 { // two pages of the list
		problems = append(problems, webscrapertest.ProblematicURL{URL: url(n), Type: []string{"failed", "empty", "no_value"}[n%3]})
		if n%3 < 2 {
			want = append(want, url(n))
		}
	}
	problems = append(problems, webscrapertest.ProblematicURL{URL: url(0), Type: "empty"})
	in := scrape("mine")
	in.StartURLs, in.MinPageCredits = []string{"https://shop.test/all"}, 500
	in.RerunOf = s.cloud.AddJob(webscrapertest.Job{SitemapID: sitemap, ProblematicURLs: problems})
	result, err := s.create(in)
	require.NoError(t, err)
	require.Equal(t, len(want), result.StartURLs)
	job, _ := s.cloud.Job(result.ScrapingJobID)
	require.Equal(t, want, job.StartURLs)

	in.RerunOf = s.cloud.AddJob(webscrapertest.Job{SitemapID: sitemap, ProblematicURLs: []webscrapertest.ProblematicURL{{URL: url(1), Type: "no_value"}}})
	result, err = s.create(in)
	require.NoError(t, err)
	require.Zero(t, result)
	require.Equal(t, 1, s.calls()["scraping-job"])

	for n := range 5001 {
		problems = append(problems, webscrapertest.ProblematicURL{URL: url(1000 + n), Type: "failed"})
	}
	in.RerunOf = s.cloud.AddJob(webscrapertest.Job{SitemapID: sitemap, ProblematicURLs: problems})
	_, err = s.create(in)
	requireFailure(t, err, activities.ErrorNotCreated, false)
	require.ErrorContains(t, err, "more than 5000 failed and empty pages. Run the whole sitemap again")
}

func TestCreationWaitsForItsCalls(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	s.limit(1)
	_, err := s.create(scrape("one"))
	require.NoError(t, err)
	waits, err := s.create(scrape("another"))
	require.NoError(t, err)
	require.InDelta(t, 15*time.Minute, waits.Wait, float64(time.Minute))
	require.Equal(t, activities.CreateScrapingJobResult{Wait: waits.Wait}, waits)
	in := scrape("another")
	in.MayExist = true
	waits, err = s.create(in)
	require.NoError(t, err)
	require.Positive(t, waits.Wait)
	require.Equal(t, map[string]int{"scraping-job": 1}, s.calls())

	// The next attempt must know what an earlier one may have sent, so the activity is retried.
	_, err = s.attempts(scrape("a third"), 1)
	require.NoError(t, err)
	env := s.environment()
	env.SetHeartbeatDetails(activities.Progress{Sent: true})
	_, err = runIn[activities.CreateScrapingJobResult](s.world, env, "CreateScrapingJob", scrape("another"))
	requireFailure(t, err, activities.ErrorRateLimited, true)
	require.InDelta(t, 15*time.Minute, failureOf(t, err).NextRetryDelay(), float64(time.Minute))
}

func TestRateLimitedCreationWaits(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	s.fail(http.MethodPost, 1, webscrapertest.TooManyRequests(90*time.Second))
	waits, err := s.create(scrape("mine"))
	require.NoError(t, err)
	require.InDelta(t, 91*time.Second, waits.Wait, float64(10*time.Second))
	require.Equal(t, activities.CreateScrapingJobResult{Wait: waits.Wait}, waits)
}

// onServer executes the activity with heartbeats, on a real server.
func (s *scraper) onServer(in activities.CreateScrapingJobInput) (client.Client, client.WorkflowRun, worker.Worker) {
	s.t.Helper()
	namespace := temporaltest.NewNamespace(s.t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{WorkerStopTimeout: waitAtMost})
	s.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context, in activities.CreateScrapingJobInput) (activities.CreateScrapingJobResult, error) {
		return createOn(ctx, in, workflow.ActivityOptions{StartToCloseTimeout: 2 * waitAtMost, HeartbeatTimeout: waitAtMost, WaitForCancellation: true})
	}, workflow.RegisterOptions{Name: "Create"})
	require.NoError(s.t, onWorker.Start())
	run, err := namespace.Client.ExecuteWorkflow(s.t.Context(), client.StartWorkflowOptions{ID: "create", TaskQueue: queue}, "Create", in)
	require.NoError(s.t, err)
	return namespace.Client, run, onWorker
}

func TestCancellationDoesNotLoseTheCreatedJob(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	s.use(s.client(apiToken), s.ledger)
	sending, answer := make(chan struct{}), make(chan struct{})
	s.fail(http.MethodPost, 1, func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(sending)
			<-answer
			next.ServeHTTP(w, r)
		})
	})
	temporal, run, onWorker := s.onServer(scrape("mine"))
	defer onWorker.Stop()
	<-sending
	require.NoError(t, temporal.CancelWorkflow(t.Context(), run.GetID(), ""))
	close(answer)
	var result activities.CreateScrapingJobResult
	require.NoError(t, run.Get(t.Context(), &result))
	require.NotZero(t, result.ScrapingJobID)
}

// Temporal has timed out the attempt, which does not know yet.
func TestStaleAttemptSendsNothing(t *testing.T) {
	t.Parallel()
	s := newScraper(t)
	s.use(s.client(apiToken), s.ledger)
	checking, answer := make(chan struct{}), make(chan struct{})
	s.fail(http.MethodGet, 1, func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(checking)
			<-answer
			next.ServeHTTP(w, r)
		})
	})
	in := scrape("mine")
	in.MayExist = true
	temporal, run, onWorker := s.onServer(in)
	<-checking
	require.NoError(t, temporal.TerminateWorkflow(t.Context(), run.GetID(), "", "a test"))
	close(answer)
	require.Eventually(t, func() bool { return s.calls()["scraping-jobs"] == 2 }, waitAtMost, pollEvery)
	onWorker.Stop() // after the activity has ended
	require.Zero(t, s.created())
}
