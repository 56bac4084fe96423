package failures

import (
	"cmp"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// soakFaults are faults of an API. All are temporary.
var soakFaults = []webscrapertest.Effect{
	webscrapertest.FailWith(500), webscrapertest.FailWithHTML(502), webscrapertest.TooManyRequests(time.Second), webscrapertest.Reset(),
	webscrapertest.Truncate(1000), webscrapertest.ResetAt(1000), webscrapertest.Drip(1<<10, time.Millisecond),
}

// TestSoak runs with SOAK=1: thousands of jobs on two workers, with random faults.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("set SOAK=1 to run it")
	}
	number := func(name string, byDefault uint64) uint64 {
		n, err := strconv.ParseUint(cmp.Or(os.Getenv(name), strconv.FormatUint(byDefault, 10)), 10, 64)
		require.NoError(t, err, name)
		return n
	}
	jobs, seed := number("SOAK_JOBS", 3000), number("SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_SEED=%d SOAK_JOBS=%d", seed, jobs)
	random := rand.New(rand.NewPCG(seed, 0))
	c := &chaos.Case{Entry: new(chaos.Entry), System: systemtest.NewOn(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t), chaos.Settings,
		chaos.NoRateLimit, chaos.AnswersInTime)}

	spools := []string{t.TempDir(), t.TempDir()}
	workers := []*childprocess.Process{c.Worker(spools[0]), c.Worker(spools[1])}
	records := map[int64]int64{}
	var sending sync.WaitGroup
	kills, faults, terminated := 0, 0, int64(0)
	for range jobs {
		n := random.IntN(2000)
		id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(n, random.Int64())})
		records[id] = int64(n)
		for range 1 + random.IntN(3) {
			sending.Go(func() { c.Notify(id) })
		}
		if random.IntN(5) == 0 {
			faults++
			c.Cloud.Inject(webscrapertest.Fault{Times: 1 + random.IntN(3), Effect: soakFaults[random.IntN(len(soakFaults))]})
		}
		if random.IntN(100) == 0 {
			terminated += terminateConnections(c)
		}
		if random.IntN(200) == 0 {
			kills++
			victim := random.IntN(len(workers))
			c.Kill(workers[victim])
			workers[victim] = c.Worker(spools[victim])
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond) // spreads the jobs over time
	}
	sending.Wait()
	require.Eventually(t, func() bool {
		running, err := c.Temporal.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
		return err == nil && running.GetCount() == 0
	}, 20*time.Minute, time.Second, "workflows are still running")
	for id, n := range records {
		c.RequireGone(id, n)
	}
	c.RequireEmptySpools()
	t.Logf("%d jobs imported once; %d kills of a worker, %d faults of the API, %d transactions terminated", jobs, kills, faults, terminated)
}
