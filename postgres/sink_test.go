package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

func TestStoreIsARecordSink(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	require.NoError(t, sinktest.TestRecordSink(t.Context(), store, readRecords(db)))
}
