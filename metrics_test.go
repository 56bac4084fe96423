package scrapehaul_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// requireMetrics waits until the processes serve all these metrics.
func requireMetrics(s *systemtest.System, lines ...string) {
	s.T.Helper()
	for _, line := range lines {
		s.WaitFor(line, func() bool { return strings.Contains(strings.Join(s.Scrape(), ""), line+"\n") })
	}
}

func TestMetricsMatchTheImports(t *testing.T) {
	t.Parallel()
	const sitemap = "sitemap-zx99"
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "BATCH_RECORDS": "1000"})
	first := s.StartWorker(s.Spool)
	requireMetrics(s, `scrapehaul_imports_total{account="default",outcome="deleted"} 0`, `scrapehaul_imports_total{account="default",outcome="failed"} 0`,
		`scrapehaul_problems_total{account="default",kind="RejectedRecords"} 0`, `scrapehaul_imports_needing_attention{account="default",kind="RejectedRecords"} 0`,
		`scrapehaul_records_total{account="default"} 0`, `scrapehaul_rejected_records_total{account="default"} 0`, `scrapehaul_unmapped_records_total{account="default"} 0`)

	var ids []int64
	add := func(records webscrapertest.Records) int64 {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: records})
		ids = append(ids, id)
		return id
	}
	for range 2 {
		good := add(webscrapertest.Products(2500, 1))
		s.Notify(good)
		require.Equal(t, workflows.Deleted, s.Result(good).Outcome)
	}
	rejects := add(webscrapertest.JSONLines(`{"a":"1"}`, `{"a":`, `{"a":"3"}`))
	s.Notify(rejects)
	s.Attention(rejects)
	failing := add(webscrapertest.JSONLines(`{"a":"1"}`, `{"a":`))
	run, err := workflows.Notify(t.Context(), s.Temporal, workflows.DefaultTaskQueue,
		workflows.Notification{ScrapingJobID: failing}, workflows.Settings{AttentionTimeout: "1s"})
	require.NoError(t, err)
	require.ErrorContains(t, run.Get(t.Context(), nil), "1 record was rejected")

	counted := []string{
		`scrapehaul_imports_total{account="default",outcome="deleted"} 2`,
		`scrapehaul_imports_total{account="default",outcome="failed"} 1`,
		`scrapehaul_imports_total{account="default",outcome="kept"} 0`,
		`scrapehaul_problems_total{account="default",kind="RejectedRecords"} 2`,
		fmt.Sprintf(`scrapehaul_records_total{account="default"} %d`, s.Count(`SELECT sum(records) FROM scrapehaul.imports`)),
		fmt.Sprintf(`scrapehaul_rejected_records_total{account="default"} %d`, s.Count(`SELECT count(*) FROM scrapehaul.rejected_records`)),
		`scrapehaul_step_duration_seconds_count{account="default",step="import"} 4`,
		`scrapehaul_step_duration_seconds_count{account="default",step="delete"} 2`,
		`scrapehaul_api_calls_limit{account="default"} 200`,
		`scrapehaul_open_imports{account="default"} 1`,
		`scrapehaul_imports_needing_attention{account="default",kind="RejectedRecords"} 1`,
		`scrapehaul_notifications_total{account="default",answer="accepted"} 3`,
	}
	requireMetrics(s, counted...)
	requireMetrics(s, counted...) // a scrape counts nothing
	requireFewSeries(s, ids, sitemap)

	// Counters restart with a worker; the gauge of imports that need attention does not.
	require.NoError(t, first.Stop())
	s.StartWorker(t.TempDir())
	requireMetrics(s, `scrapehaul_imports_total{account="default",outcome="deleted"} 0`, `scrapehaul_imports_needing_attention{account="default",kind="RejectedRecords"} 1`)
	s.Signal(rejects, workflows.KeepSignal)
	require.Equal(t, workflows.Kept, s.Result(rejects).Outcome)
	requireMetrics(s, `scrapehaul_imports_total{account="default",outcome="kept"} 1`, `scrapehaul_imports_needing_attention{account="default",kind="RejectedRecords"} 0`)
}

var labelValue = regexp.MustCompile(`="([^"]*)"`)

// requireFewSeries requires that no label has unbounded values.
func requireFewSeries(s *systemtest.System, ids []int64, sitemap string) {
	s.T.Helper()
	forbidden := map[string]bool{sitemap: true}
	for _, id := range ids {
		forbidden[fmt.Sprint(id)] = true
		for _, run := range s.Runs(id) {
			forbidden[run.GetExecution().GetRunId()] = true
		}
	}
	texts := s.Scrape()
	require.Len(s.T, texts, 2, "of the starter and of the worker")
	for _, text := range texts {
		for _, found := range labelValue.FindAllStringSubmatch(text, -1) {
			require.False(s.T, forbidden[found[1]], "%q is a label", found[1])
		}
	}
}

func TestHeldImportIsNotCountedAsNeedingAttention(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	requireMetrics(s, `scrapehaul_open_imports{account="default"} 1`)
	counts, err := workflows.CountOpenImports(t.Context(), s.Temporal)
	require.NoError(t, err)
	for kind, n := range counts["default"].NeedAttention {
		require.Zero(t, n, kind)
	}
}

// counting is a host's own MetricsHandler.
type counting struct {
	client.MetricsHandler
	tags   map[string]string
	mu     *sync.Mutex
	counts map[string]int64
}

func (c counting) WithTags(tags map[string]string) client.MetricsHandler {
	all := map[string]string{}
	for _, each := range []map[string]string{c.tags, tags} {
		for tag, value := range each {
			all[tag] = value
		}
	}
	c.tags = all
	return c
}

type counter func(int64)

func (c counter) Inc(n int64) { c(n) }

func (c counting) Counter(name string) client.MetricsCounter {
	return counter(func(n int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.counts[strings.TrimRight(name+" "+c.tags["outcome"]+c.tags["kind"], " ")] += n
	})
}

func (c counting) count(name string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

func TestHostsMetricsHandlerReceivesCounters(t *testing.T) {
	t.Parallel()
	s, _ := newHost(t)
	namespace := temporaltest.NewNamespace(t)
	metrics := counting{MetricsHandler: client.MetricsNopHandler, mu: new(sync.Mutex), counts: map[string]int64{}}
	var err error
	s.Temporal, err = client.DialContext(t.Context(), client.Options{
		HostPort: namespace.HostPort, Namespace: namespace.Name, MetricsHandler: metrics,
	})
	require.NoError(t, err)
	t.Cleanup(s.Temporal.Close)
	cloud, err := webscraper.NewClient(systemtest.APIToken, webscraper.WithBaseURI(s.Cloud.URL))
	require.NoError(t, err)
	plugin, err := scrapehaul.NewPlugin(scrapehaul.Options{
		Client: s.Temporal, Cloud: cloud, DB: s.DB, SpoolDir: t.TempDir(), APICallsPer15Minutes: 100_000,
	})
	require.NoError(t, err)
	host := worker.New(s.Temporal, hostQueue, worker.Options{Plugins: []worker.Plugin{plugin}})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)

	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1"}`, `{"a":`, `{"a":"3"}`)})
	_, err = workflows.Notify(t.Context(), s.Temporal, hostQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{})
	require.NoError(t, err)
	s.Attention(id)
	s.Signal(id, workflows.KeepSignal)
	require.Equal(t, workflows.Kept, s.Result(id).Outcome)
	s.WaitFor("the end is counted", func() bool { return metrics.count("scrapehaul_imports kept") == 1 })
	require.Equal(t, int64(1), metrics.count("scrapehaul_problems RejectedRecords"))
	require.Equal(t, int64(2), metrics.count("scrapehaul_records"))
	require.Equal(t, int64(1), metrics.count("scrapehaul_rejected_records"))
	require.Positive(t, metrics.count("scrapehaul_bytes"))
}
