package postgres_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

func TestStoreKeepsThePromisesOfASink(t *testing.T) {
	store, db := newStore(t)
	require.NoError(t, sinktest.TestRecordSink(t.Context(), store, func(ctx context.Context, scrapingJobID int64) (sinktest.Records, error) {
		var rows []struct {
			Number int64           `db:"record_number"`
			Data   json.RawMessage `db:"data"`
		}
		err := db.SelectContext(ctx, &rows, `SELECT record_number, data FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, scrapingJobID)
		records := sinktest.Records{}
		for _, row := range rows {
			records[row.Number] = row.Data
		}
		return records, err
	}))
}
