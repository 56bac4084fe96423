package webscraper_test

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestListFollowsEveryPage(t *testing.T) {
	cloud, client := newCloud(t)
	for id := int64(1); id <= 250; id++ {
		cloud.AddJob(webscrapertest.Job{ID: id})
	}
	// A list can be read again.
	jobs := client.ScrapingJobs(t.Context(), webscraper.ListScrapingJobsOptions{})
	for range 2 {
		ids := jobIDs(t, jobs)
		require.Len(t, ids, 250)
		slices.Sort(ids)
		require.Len(t, slices.Compact(ids), 250)
	}
	require.Len(t, cloud.Requests(), 6)
}

func TestListIsNarrowedByTheServer(t *testing.T) {
	cloud, client := newCloud(t)
	cloud.AddJob(webscrapertest.Job{ID: 1, SitemapID: 10})
	cloud.AddJob(webscrapertest.Job{ID: 2, SitemapID: 20, Tags: []string{"nightly"}})
	cloud.AddJob(webscrapertest.Job{ID: 3, SitemapID: 10, Tags: []string{"nightly"}})
	tests := []struct {
		opts webscraper.ListScrapingJobsOptions
		want []int64
	}{
		{webscraper.ListScrapingJobsOptions{}, []int64{1, 2, 3}},
		{webscraper.ListScrapingJobsOptions{SitemapID: 10}, []int64{1, 3}},
		{webscraper.ListScrapingJobsOptions{Tag: "nightly"}, []int64{2, 3}},
		{webscraper.ListScrapingJobsOptions{SitemapID: 10, Tag: "nightly"}, []int64{3}},
		{webscraper.ListScrapingJobsOptions{SitemapID: 30}, nil},
	}
	for _, test := range tests {
		require.ElementsMatch(t, test.want, jobIDs(t, client.ScrapingJobs(t.Context(), test.opts)), "%+v", test.opts)
	}
}

func TestListStopsAskingWhenTheLoopStops(t *testing.T) {
	cloud, client := newCloud(t)
	for range 150 {
		cloud.AddJob(webscrapertest.Job{})
	}
	for _, err := range client.ScrapingJobs(t.Context(), webscraper.ListScrapingJobsOptions{}) {
		require.NoError(t, err)
		break
	}
	require.Len(t, cloud.Requests(), 1)
}

func TestListEndsWithAnError(t *testing.T) {
	cloud, client := newCloud(t)
	for range 150 {
		cloud.AddJob(webscrapertest.Job{})
	}
	cloud.Inject(webscrapertest.Fault{After: 1, Effect: webscrapertest.FailWithHTML(500)})
	var listed int
	var errs []error
	for job, err := range client.ScrapingJobs(t.Context(), webscraper.ListScrapingJobsOptions{}) {
		if err != nil {
			require.Nil(t, job)
			errs = append(errs, err)
			continue
		}
		listed++
	}
	require.Equal(t, 100, listed)
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "webscraper: list scraping jobs: GET /api/v1/scraping-jobs: 500")
}

func TestListYieldsEachItemOnceWhateverTheServerSays(t *testing.T) {
	tests := map[string]struct {
		page      func(page int) (ids []int64, lastPage int)
		want      []int64
		wantErr   string
		wantCalls int
	}{
		"the list grows at its front between two pages": {func(page int) ([]int64, int) {
			return map[int][]int64{1: {4, 3}, 2: {3, 2}, 3: {1}}[page], 3
		}, []int64{4, 3, 2, 1}, "", 3},
		"a page moves on whole": {func(page int) ([]int64, int) {
			return map[int][]int64{1: {4, 3}, 2: {4, 3}, 3: {2, 1}}[page], 3
		}, []int64{4, 3, 2, 1}, "", 3},
		"the list shrinks": {func(page int) ([]int64, int) {
			return map[int][]int64{1: {4, 3}}[page], 9
		}, []int64{4, 3}, "", 2},
		"last_page grows": {func(page int) ([]int64, int) {
			return map[int][]int64{1: {4}, 2: {3}, 3: {2}}[page], map[int]int{1: 2, 2: 3, 3: 3}[page]
		}, []int64{4, 3, 2}, "", 3},
		"no last_page": {func(page int) ([]int64, int) {
			return map[int][]int64{1: {4}, 2: {3}}[page], 0
		}, []int64{4, 3}, "", 3},
		"empty list": {func(int) ([]int64, int) { return nil, 1 }, nil, "", 1},
		"every page is the first, and there is always one more": {func(page int) ([]int64, int) {
			return []int64{4, 3}, page + 1
		}, []int64{4, 3}, "pages 2 to 4 brought nothing new, yet the server says that page 5 is the last", 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			calls := 0
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				page, _ := strconv.Atoi(r.URL.Query().Get("page"))
				ids, lastPage := test.page(page)
				jobs := make([]string, len(ids))
				for i, id := range ids {
					jobs[i] = fmt.Sprintf(`{"id":%d}`, id)
				}
				answerJSON(fmt.Sprintf(`{"success":true,"data":[%s],"current_page":%d,"last_page":%d,"total":5,"per_page":2}`,
					strings.Join(jobs, ","), page, lastPage))(w, r)
			}))
			var got []int64
			var lastErr error
			for job, err := range client.ScrapingJobs(t.Context(), webscraper.ListScrapingJobsOptions{}) {
				if lastErr = err; err == nil {
					got = append(got, job.ID)
				}
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.wantCalls, calls)
			if test.wantErr == "" {
				require.NoError(t, lastErr)
			} else {
				require.ErrorContains(t, lastErr, test.wantErr)
			}
		})
	}
}

func TestOnePageOfJobsIsOneCall(t *testing.T) {
	cloud, client := newCloud(t)
	for id := int64(1); id <= 250; id++ {
		cloud.AddJob(webscrapertest.Job{ID: id})
	}
	for page, want := range map[int]struct{ first, last int64 }{1: {1, 100}, 2: {101, 200}, 3: {201, 250}} {
		before := len(cloud.Requests())
		jobs, lastPage, err := client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, page)
		require.NoError(t, err)
		require.Equal(t, 3, lastPage)
		require.Len(t, jobs, int(want.last-want.first)+1)
		require.Equal(t, want.first, jobs[0].ID)
		require.Equal(t, want.last, jobs[len(jobs)-1].ID)
		require.Len(t, cloud.Requests(), before+1)
	}
	jobs, lastPage, err := client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, 4)
	require.NoError(t, err)
	require.Empty(t, jobs, "past the end")
	require.Equal(t, 3, lastPage)
}

func TestOnePageOfJobsIsNarrowedByTheServer(t *testing.T) {
	cloud, client := newCloud(t)
	cloud.AddJob(webscrapertest.Job{ID: 1, SitemapID: 10, Tags: []string{"nightly"}})
	cloud.AddJob(webscrapertest.Job{ID: 2, SitemapID: 20, Tags: []string{"nightly"}})
	cloud.AddJob(webscrapertest.Job{ID: 3, SitemapID: 10})
	jobs, lastPage, err := client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{SitemapID: 10, Tag: "nightly"}, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Equal(t, int64(1), jobs[0].ID)
	require.Equal(t, 1, lastPage)
}

func TestOnePageOfJobsWithoutALastPage(t *testing.T) {
	client := newClient(t, answerJSON(`{"success":true,"data":[{"id":7}]}`))
	jobs, lastPage, err := client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Zero(t, lastPage)
}

func TestOnePageOfJobsFailsWithTheOperation(t *testing.T) {
	cloud, client := newCloud(t)
	_, _, err := client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, 0)
	require.EqualError(t, err, "webscraper: list scraping jobs: there is no page 0: the first is 1")
	require.Empty(t, cloud.Requests())

	cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWithHTML(500)})
	_, _, err = client.ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, 1)
	require.ErrorContains(t, err, "webscraper: list scraping jobs: GET /api/v1/scraping-jobs: 500")
}

func TestProblematicURLsAreListed(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{ProblematicURLs: []webscrapertest.ProblematicURL{
		{URL: "https://example.com/a", Type: "empty"},
		{URL: "https://example.com/a", Type: "failed"},
		{URL: "https://example.com/b", Type: "no_value"},
	}})
	var got []webscraper.ProblematicURL
	for u, err := range client.ProblematicURLs(t.Context(), id) {
		require.NoError(t, err)
		got = append(got, u)
	}
	require.Equal(t, []webscraper.ProblematicURL{
		{URL: "https://example.com/a", Type: "empty"},
		{URL: "https://example.com/a", Type: "failed"},
		{URL: "https://example.com/b", Type: "no_value"},
	}, got)
}

func jobIDs(t *testing.T, jobs iter.Seq2[*webscraper.ScrapingJob, error]) []int64 {
	t.Helper()
	var ids []int64
	for job, err := range jobs {
		require.NoError(t, err)
		ids = append(ids, job.ID)
	}
	return ids
}
