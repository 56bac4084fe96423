package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

// The default isolation of a database or role may have been changed for other applications.
func TestImportsDoNotDependOnTheDefaultIsolation(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			at := postgrestest.NewDatabase(t)
			admin := connect(t, at)
			admin.MustExec(fmt.Sprintf(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET default_transaction_isolation = %%L', current_database(), '%s'); END $$`, isolation))
			db := connect(t, at)
			require.Equal(t, []string{isolation}, rows(t, db, `SELECT current_setting('transaction_isolation')`))
			_, err := postgres.Migrate(t.Context(), db)
			require.NoError(t, err)

			mappings, err := mapping.Parse("mappings.yaml", []byte(deactivate))
			require.NoError(t, err)
			var all sync.WaitGroup
			for range 5 {
				db := connect(t, at)
				all.Go(func() { assert.NoError(t, postgres.PrepareMappedTables(context.Background(), db, mappings)) })
			}
			all.Wait()

			store := mapped(t, db, deactivate)
			require.NoError(t, sinktest.TestRecordSink(t.Context(), store, readRecords(db)))
			attempt := begin(t, store, ofSitemap("shop", request(1, 4000)))
			record := func(number int64) string { return product(fmt.Sprint(number), "1") }
			require.NoError(t, attempt.CommitBatches(t.Context(), 4, recordBatches(attempt, 40, 100, record), func(sink.Batch) {}))
			require.NoError(t, attempt.Publish(t.Context(), func() {}))
			require.Equal(t, int64(4000), count(t, db, `SELECT count(*) FROM products`))

			for worker := range int64(4) { // into one table, and one view
				all.Go(func() {
					for n := range int64(4) {
						_, err := publishRecords(context.Background(), store, 101+worker+4*n, "shop-2", product("a", "1"), fmt.Sprintf(`{"url":"b","column %d":1}`, worker))
						assert.NoError(t, err)
					}
				})
				all.Go(func() {
					for range 10 {
						assert.NoError(t, store.RegisterSpool(context.Background(), fmt.Sprint(worker), fmt.Sprint("queue ", worker)))
						_, err := store.SpoolTaskQueues(context.Background(), "queue")
						assert.NoError(t, err)
					}
				})
			}
			all.Wait()
		})
	}
}
