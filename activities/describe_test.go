package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDescribeReturnsTheJobBeforeAnyImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{
		SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12", Status: "stopped",
		Records: webscrapertest.Products(20, 1),
		Pages:   webscrapertest.Pages{Scheduled: 9, Executed: 8, Failed: 3, Empty: 2, NoValue: 1},

		TimeCreated: time.Unix(1_700_000_000, 0), ScrapingDuration: 90 * time.Second,
	})
	require.Equal(t, activities.Description{
		Found: true,
		Job: sink.ScrapingJob{
			ScrapingJobID: id, Account: sink.DefaultAccount, SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12", Status: "stopped",
			JobsScheduled: 9, JobsExecuted: 8, JobsFailed: 3, JobsEmpty: 2, JobsNoValue: 1, StoredRecordCount: 20,
			TimeCreated: 1_700_000_000, ScrapingDuration: 90,
		},
		Account: sink.DefaultAccount, WorkerTaskQueue: queue,
	}, w.describe(id))
}

func TestDescribeOfAMissingJobIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, activities.Description{Account: sink.DefaultAccount, WorkerTaskQueue: queue}, w.describe(999))
}

func TestDescribeFindsTheContentUnchangedSinceItsImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	in, imported := w.imported(id, 1)

	described := w.describe(id)
	require.True(t, described.Unchanged())
	require.NotNil(t, described.Published)
	require.WithinDuration(t, time.Now(), described.Published.PublishedAt, time.Minute)
	described.Published.PublishedAt = time.Time{}
	require.Equal(t, &sink.PublishedImport{
		ScrapingJob: in.Job, Counts: sink.Counts{Records: 20},
		ImportID: imported.ImportID, Bytes: in.Bytes, SHA256: in.SHA256,
	}, described.Published)
}

// The published import has the job as it was then.
func TestDescribeComparesStatusAndCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before    func(*sink.ScrapingJob)
		unchanged bool
	}{
		"the same":              {func(*sink.ScrapingJob) {}, true},
		"another sitemap name":  {func(j *sink.ScrapingJob) { j.SitemapName = "its former name" }, true},
		"another custom ID":     {func(j *sink.ScrapingJob) { j.CustomID = "its former ID" }, true},
		"another status":        {func(j *sink.ScrapingJob) { j.Status = "failed" }, false},
		"more records":          {func(j *sink.ScrapingJob) { j.StoredRecordCount-- }, false},
		"more pages scheduled":  {func(j *sink.ScrapingJob) { j.JobsScheduled-- }, false},
		"more pages executed":   {func(j *sink.ScrapingJob) { j.JobsExecuted-- }, false},
		"fewer pages failed":    {func(j *sink.ScrapingJob) { j.JobsFailed++ }, false},
		"fewer pages empty":     {func(j *sink.ScrapingJob) { j.JobsEmpty++ }, false},
		"fewer pages no values": {func(j *sink.ScrapingJob) { j.JobsNoValue++ }, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)})
			in := w.downloaded(id, 1)
			c.before(&in.Job)
			_, err := w.tryImport(in)
			require.NoError(t, err)
			require.Equal(t, c.unchanged, w.describe(id).Unchanged())
		})
	}
}

func TestDescribeOfADeletedJobReturnsItsImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)})
	w.imported(id, 1)
	require.NoError(t, w.client(apiToken).DeleteScrapingJob(t.Context(), id))

	described := w.describe(id)
	require.False(t, described.Found)
	require.False(t, described.Unchanged())
	require.Equal(t, int64(5), described.Published.Records)
}

func TestFilterCallsTheAPIOnlyForATag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{SitemapID: 7, SitemapName: "my-sitemap", Tags: []string{"prices"}})
	for _, test := range []struct {
		filter  activities.Filter
		outside string
		calls   int
	}{
		{activities.Filter{}, "", 1},
		{activities.Filter{SitemapNamePrefix: "my-", Statuses: []string{"finished"}}, "", 1},
		{activities.Filter{SitemapNamePrefix: "shop"}, `the sitemap's name "my-sitemap" does not start with "shop"`, 1},
		{activities.Filter{Tag: "prices"}, "", 2},
		{activities.Filter{Tag: "stock"}, `the sitemap "my-sitemap" does not have the tag "stock"`, 2},
	} {
		before := len(w.cloud.Requests())
		described, err := activities.Describe(t.Context(), w.steps, id, test.filter)
		require.NoError(t, err)
		require.Equal(t, test.outside, described.Outside)
		require.Equal(t, test.calls, len(w.cloud.Requests())-before)
	}
}
