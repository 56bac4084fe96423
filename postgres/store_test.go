package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

func TestPublishedImportsAreReadTogether(t *testing.T) {
	store, _ := newStore(t)
	publish := func(id int64) postgres.PublishedImport {
		r := request(1, 3)
		r.ScrapingJobID = id
		attempt := begin(t, store, r)
		require.NoError(t, commit(t, attempt, 1, 3, plain))
		of := job(3)
		of.ScrapingJobID, of.CustomID = id, ""
		require.NoError(t, attempt.Publish(t.Context(), of))
		return postgres.PublishedImport{ScrapingJob: of, ImportID: attempt.ID(), Records: 3, Bytes: 3, SHA256: "abc"}
	}
	want := map[int64]postgres.PublishedImport{1: publish(1), 3: publish(3)}
	publish(4)
	unpublished := request(1, 3)
	unpublished.ScrapingJobID = 2
	begin(t, store, unpublished)

	got, err := store.PublishedImports(t.Context(), []int64{1, 2, 3, 999, 3})
	require.NoError(t, err)
	for id, i := range got {
		one, err := store.PublishedImport(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, i, *one, "the same as one by one")
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
