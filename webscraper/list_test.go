package webscraper_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// newProblematic returns a cloud with a job of n problematic URLs.
func newProblematic(t *testing.T, n int) (cloud *webscrapertest.Cloud, client *webscraper.Client, id int64) {
	t.Helper()
	cloud, client = newCloud(t)
	var urls []webscrapertest.ProblematicURL
	for i := range n {
		urls = append(urls, webscrapertest.ProblematicURL{URL: fmt.Sprintf("https://example.com/%d", i), Type: "empty"})
	}
	return cloud, client, cloud.AddJob(webscrapertest.Job{ProblematicURLs: urls})
}

func TestListFollowsEveryPage(t *testing.T) {
	cloud, client, id := newProblematic(t, 250)
	// A list can be read again.
	list := client.ProblematicURLs(t.Context(), id)
	for range 2 {
		listed := map[string]bool{}
		for each, err := range list {
			require.NoError(t, err)
			require.False(t, listed[each.URL])
			listed[each.URL] = true
		}
		require.Len(t, listed, 250)
	}
	require.Len(t, cloud.Requests(), 6)
}

func TestListMakesNoCallAfterTheLoop(t *testing.T) {
	cloud, client, id := newProblematic(t, 150)
	for _, err := range client.ProblematicURLs(t.Context(), id) {
		require.NoError(t, err)
		break
	}
	require.Len(t, cloud.Requests(), 1)
}

func TestListEndsWithAnError(t *testing.T) {
	cloud, client, id := newProblematic(t, 150)
	cloud.Inject(webscrapertest.Fault{After: 1, Effect: webscrapertest.FailWithHTML(500)})
	var listed int
	var errs []error
	for each, err := range client.ProblematicURLs(t.Context(), id) {
		if err != nil {
			require.Zero(t, each)
			errs = append(errs, err)
			continue
		}
		listed++
	}
	require.Equal(t, 100, listed)
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "webscraper: list problematic URLs of scraping job 500: GET /api/v1/scraping-job/500/problematic-urls: 500")
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
		"a complete page moves to the next number": {func(page int) ([]int64, int) {
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
		}, []int64{4, 3}, "pages 2 to 4 have nothing new, yet the server says that page 5 is the last", 4},
		"every page is the first, and none is said to be the last": {func(int) ([]int64, int) {
			return []int64{4, 3}, 0
		}, []int64{4, 3}, "pages 2 to 4 have nothing new, and the server does not say which page is the last", 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			calls := 0
			client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls++
				page, _ := strconv.Atoi(r.URL.Query().Get("page"))
				ids, lastPage := test.page(page)
				items := make([]string, len(ids))
				for i, id := range ids {
					items[i] = fmt.Sprintf(`{"url":"%d"}`, id)
				}
				answerJSON(fmt.Sprintf(`{"success":true,"data":[%s],"current_page":%d,"last_page":%d,"total":5,"per_page":2}`,
					strings.Join(items, ","), page, lastPage))(w, r)
			}))
			var got []int64
			var lastErr error
			for each, err := range client.ProblematicURLs(t.Context(), 500) {
				if lastErr = err; err == nil {
					id, _ := strconv.ParseInt(each.URL, 10, 64)
					got = append(got, id)
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

func TestOnePageOfJobsIsFilteredByTheServer(t *testing.T) {
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
		jobs, lastPage, err := client.ScrapingJobsPage(t.Context(), test.opts, 1)
		require.NoError(t, err)
		require.Equal(t, 1, lastPage)
		var ids []int64
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		require.ElementsMatch(t, test.want, ids, "%+v", test.opts)
	}
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
