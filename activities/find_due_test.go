package activities_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func (w *world) findDue(filter activities.Filter) (due []int64) {
	w.t.Helper()
	found, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: 1, Filter: filter})
	require.NoError(w.t, err)
	for _, each := range found.Due {
		due = append(due, each.Job.ScrapingJobID)
	}
	return due
}

func TestEndedJobsWithUnpublishedContentAreDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(id int64, status string) {
		w.cloud.AddJob(webscrapertest.Job{ID: id, SitemapName: "my-sitemap", Status: status, Records: webscrapertest.Products(20, id)})
	}
	for id, status := range []string{"started", "finished", "stopped", "failed", "shelved", "waiting-to-be-scheduled", "scheduled"} {
		add(int64(id+1), status)
	}
	require.ElementsMatch(t, []int64{2, 3, 4, 5}, w.findDue(activities.Filter{}))
	require.ElementsMatch(t, []int64{3}, w.findDue(activities.Filter{Statuses: []string{"stopped"}}))
	require.Empty(t, w.findDue(activities.Filter{SitemapNamePrefix: "shop"}))

	w.imported(2, 1)
	require.ElementsMatch(t, []int64{3, 4, 5}, w.findDue(activities.Filter{}))
	require.NoError(t, w.cloud.SetRecords(2, webscrapertest.Products(30, 2)))
	require.ElementsMatch(t, []int64{2, 3, 4, 5}, w.findDue(activities.Filter{}), "it has run again")

	_, err := run[any](w, activities.AbandonScrapingJobName, w.describe(3).Job)
	require.NoError(t, err)
	require.ElementsMatch(t, []int64{2, 4, 5}, w.findDue(activities.Filter{}))
	require.NoError(t, w.cloud.SetRecords(3, webscrapertest.Products(30, 3)))
	require.ElementsMatch(t, []int64{2, 3, 4, 5}, w.findDue(activities.Filter{}), "it has run again")
}

func TestLastPageOfTheAccountsJobsIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id := range int64(150) {
		w.cloud.AddJob(webscrapertest.Job{ID: id + 1})
	}
	for page, want := range map[int]activities.FindDueScrapingJobsResult{
		1: {Listed: 100}, 2: {Listed: 50, Last: true}, 3: {Last: true},
	} {
		before := len(w.cloud.Requests())
		found, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: page})
		require.NoError(t, err)
		require.Len(t, found.Due, want.Listed)
		found.Due = nil
		require.Equal(t, want, found)
		require.Equal(t, before+1, len(w.cloud.Requests()), "a page is one call")
	}
}
