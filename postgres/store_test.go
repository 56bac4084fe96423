package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink"
)

func TestPublishedImportsReadsSeveralJobs(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	publish := func(id int64) sink.PublishedImport {
		r := request(1, 3)
		r.Job.ScrapingJobID, r.Job.CustomID = id, ""
		attempt := begin(t, store, r)
		require.NoError(t, commit(t, attempt, 1, 3, plain))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		return sink.PublishedImport{ScrapingJob: r.Job, ImportID: attempt.ID(), Counts: sink.Counts{Records: 3}, Bytes: 3, SHA256: "abc"}
	}
	want := map[int64]sink.PublishedImport{1: publish(1), 3: publish(3)}
	publish(4)
	unpublished := request(1, 3)
	unpublished.Job.ScrapingJobID = 2
	begin(t, store, unpublished)

	got, err := store.PublishedImports(t.Context(), []int64{1, 2, 3, 999, 3})
	require.NoError(t, err)
	for id, i := range got {
		require.WithinDuration(t, time.Now(), i.PublishedAt, time.Minute)
		i.PublishedAt = time.Time{}
		got[id] = i
	}
	require.Equal(t, want, got)

	for _, none := range [][]int64{nil, {}, {999}} {
		got, err = store.PublishedImports(t.Context(), none)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}
