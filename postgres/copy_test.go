package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// pulse measures the longest time without progress.
type pulse struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest, p.last = max(p.longest, time.Since(p.last)), time.Now()
}

// One statement per record of the batch took over a minute without reporting progress.
func TestRefusedRecordsAreFoundOverASlowNetwork(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		records    int64
		refused    func(number int64) bool
		roundTrips int64
	}{
		"one of many":   {5000, func(n int64) bool { return n == 3210 }, 250},
		"the first one": {5000, func(n int64) bool { return n == 1 }, 250},
		"the last one":  {5000, func(n int64) bool { return n == 5000 }, 250},
		"a few":         {5000, func(n int64) bool { return n%1000 == 7 }, 750},
		"all":           {200, func(int64) bool { return true }, 1600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := postgrestest.NewDatabase(t)
			db := connect(t, direct)
			_, err := postgres.Migrate(t.Context(), db)
			require.NoError(t, err)
			db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint, url varchar(20), price numeric, "in Stock" bigint)`)
			proxy, through := networkproxy.New(t, direct)
			store := mapped(t, connect(t, through), replaceJob)
			beats := &pulse{last: time.Now()}
			r := ofSitemap("shop", request(1, test.records))
			r.Progress = beats.beat
			attempt := begin(t, store, r)
			batch, refused := attempt.NewBatch(), []string{}
			for n := int64(1); n <= test.records; n++ {
				url := fmt.Sprint("good ", n)
				if test.refused(n) {
					url = strings.Repeat("long", 6)
					refused = append(refused, fmt.Sprintf("%d PostgreSQL refuses it: value too long for type character varying(20)", n))
				}
				batch.Add(n, []byte(product(url, "1")))
			}
			batch.EndsAt(test.records, test.records)
			before := proxy.RoundTrips()
			proxy.SetRoundTrip(2300 * time.Microsecond)
			beats.beat()
			started := time.Now()
			require.NoError(t, commitBatch(t.Context(), attempt, batch))
			beats.beat()
			trips := proxy.RoundTrips() - before
			t.Logf("%d round trips, %s, no progress for %s", trips, time.Since(started), beats.longest)
			require.Less(t, trips, test.roundTrips)
			require.Less(t, beats.longest, 5*time.Second, "an import that reports no progress counts as hanging")

			proxy.SetRoundTrip(0)
			require.NoError(t, attempt.Publish(t.Context(), func() {}))
			accepted := test.records - int64(len(refused))
			require.Equal(t, sink.Counts{Records: test.records, Unmapped: int64(len(refused))}, attempt.Checkpoint().Counts)
			require.Equal(t, test.records, count(t, db, visible))
			require.Equal(t, accepted, count(t, db, `SELECT count(DISTINCT url) FROM products WHERE url = 'good ' || split_part(url, ' ', 2)`))
			require.ElementsMatch(t, refused, rows(t, db, `SELECT concat_ws(' ', record_number, reason) FROM scrapehaul.unmapped_records`))
		})
	}
}
