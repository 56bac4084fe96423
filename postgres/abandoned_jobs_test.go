package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink"
)

func TestAJobIsAbandonedWithItsLatestContent(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	require.NoError(t, store.AbandonJob(t.Context(), job(5)))
	db.MustExec(`UPDATE scrapehaul.given_up_jobs SET given_up_at = now() - interval '1 day'`)
	content := sink.ScrapingJob{
		ScrapingJobID: jobID, Status: "stopped", JobsScheduled: 9, JobsExecuted: 8, JobsFailed: 4, JobsEmpty: 3,
		JobsNoValue: 2, StoredRecordCount: 7,
	}
	named := content
	named.SitemapID, named.SitemapName, named.CustomID = 12, "my-sitemap", "custom-12"
	require.NoError(t, store.AbandonJob(t.Context(), named))
	other := job(1)
	other.ScrapingJobID = 999
	require.NoError(t, store.AbandonJob(t.Context(), other))

	abandoned, err := store.AbandonedJobs(t.Context(), []int64{1, jobID})
	require.NoError(t, err)
	require.Equal(t, map[int64]sink.ScrapingJob{jobID: content}, abandoned)
	var at time.Time
	require.NoError(t, db.Get(&at, `SELECT given_up_at FROM scrapehaul.given_up_jobs WHERE scrapingjob_id = $1`, jobID))
	require.WithinDuration(t, time.Now(), at, time.Minute)

	abandoned, err = store.AbandonedJobs(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, abandoned)
}

func TestAPublishedJobIsNoLongerAbandoned(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	other := job(1)
	other.ScrapingJobID = 999
	require.NoError(t, store.AbandonJob(t.Context(), other))
	require.NoError(t, store.AbandonJob(t.Context(), job(3)))
	abandoned := func() (ids []int64) {
		jobs, err := store.AbandonedJobs(t.Context(), []int64{jobID, 999})
		require.NoError(t, err)
		for id := range jobs {
			ids = append(ids, id)
		}
		return ids
	}
	overtaken := begin(t, store, request(1, 3))
	require.NoError(t, commit(t, overtaken, 1, 3, plain))
	attempt := begin(t, store, request(1, 3))
	require.ErrorIs(t, overtaken.Publish(t.Context(), func() {}), sink.ErrOvertaken)
	require.ElementsMatch(t, []int64{jobID, 999}, abandoned(), "a failed publish removes nothing")

	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, []int64{999}, abandoned())
}
