package scrapehaul_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// hostQueue is the task queue of the host's worker, for its work and ours.
const hostQueue = "prices"

// newHost returns the system and the plugin of a host that embeds scrapehaul, without
// scrapehaul's own processes.
func newHost(t *testing.T, changes ...func(*scrapehaul.Options)) (*systemtest.System, worker.Plugin) {
	t.Helper()
	return newScrapingHost(t, webscrapertest.Timeline{}, func(_ *systemtest.System, o *scrapehaul.Options) {
		for _, change := range changes {
			change(o)
		}
	})
}

// newScrapingHost is newHost with a timeline for the jobs that it creates.
func newScrapingHost(
	t *testing.T, timeline webscrapertest.Timeline, changes ...func(*systemtest.System, *scrapehaul.Options),
) (*systemtest.System, worker.Plugin) {
	t.Helper()
	databaseURL := postgrestest.NewDatabase(t)
	db, err := postgres.Open(databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	namespace := temporaltest.NewNamespace(t)
	s := &systemtest.System{
		T: t,
		Env: builtprograms.Environment{
			TemporalAddress: namespace.HostPort, TemporalNamespace: namespace.Name, DatabaseURL: databaseURL, APIToken: systemtest.APIToken,
		},
		Cloud:    webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{systemtest.APIToken}, Timeline: timeline}),
		Temporal: namespace.Client,
		DB:       db,
		Spool:    t.TempDir(),
	}
	s.Env.APIBaseURI = s.Cloud.URL
	cloud, err := webscraper.NewClient(systemtest.APIToken, webscraper.WithBaseURI(s.Cloud.URL))
	require.NoError(t, err)
	options := scrapehaul.Options{Client: s.Temporal, Cloud: cloud, DB: db, SpoolDir: s.Spool, APICallsPer15Minutes: 100_000}
	for _, change := range changes {
		change(s, &options)
	}
	plugin, err := scrapehaul.NewPlugin(options)
	require.NoError(t, err)
	return s, plugin
}

func TestHostImportsAlongsideItsOwnWorkflows(t *testing.T) {
	t.Parallel()
	s, plugin := newHost(t)
	host := worker.New(s.Temporal, hostQueue, worker.Options{
		Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second,
	})
	host.RegisterActivityWithOptions(func(ctx context.Context) (n int64, err error) {
		return n, s.DB.GetContext(ctx, &n, `SELECT count(*) FROM scrapehaul.scraped_records WHERE data ? 'price'`)
	}, activity.RegisterOptions{Name: "CountPrices"})
	host.RegisterWorkflowWithOptions(func(ctx workflow.Context) (n int64, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
		return n, workflow.ExecuteActivity(ctx, "CountPrices").Get(ctx, &n)
	}, workflow.RegisterOptions{Name: "ComparePrices"})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)

	gin.SetMode(gin.TestMode)
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "the host's own page") })
	require.NoError(t, webhook.Register(engine.Group("/partners"), webhook.Options{
		Client: s.Temporal, Tokens: []string{systemtest.WebhookToken}, TaskQueue: hostQueue,
		Settings: workflows.Settings{HoldBeforeDelete: "0"},
	}))
	site := httptest.NewServer(engine)
	t.Cleanup(site.Close)
	s.Cloud.SetWebhookURL(site.URL + "/partners" + webhook.Path + "?token=" + systemtest.WebhookToken)

	id := s.Cloud.AddJob(webscrapertest.Job{Status: "started", Records: webscrapertest.Products(500, 1)})
	require.NoError(t, s.Cloud.Finish(t.Context(), id, "finished"))
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	s.RequireRecords(id, 500)
	require.True(t, s.Cloud.Deleted(id))
	s.RequireEmptySpool(s.Spool)

	run, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: hostQueue}, "ComparePrices")
	require.NoError(t, err)
	var prices int64
	require.NoError(t, run.Get(t.Context(), &prices))
	require.Equal(t, int64(500), prices)
}

// With this hook, a batch takes longer than the heartbeat timeout.
func TestSlowRecordHookSeesEveryRecord(t *testing.T) {
	t.Parallel()
	const records = 60
	var calls atomic.Int64
	s, plugin := newHost(t, func(o *scrapehaul.Options) {
		o.RecordHook = func(_ context.Context, _ sink.ScrapingJob, number int64, record []byte) ([]byte, error) {
			calls.Add(1)
			time.Sleep(100 * time.Millisecond) // like a call to the host's own service
			if number%10 == 0 {
				return nil, activities.SkipRecord("every tenth is skipped")
			}
			return bytes.Replace(record, []byte("{"), []byte(`{"checked":true,`), 1), nil
		}
	})
	host := worker.New(s.Temporal, hostQueue, worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)})
	_, err := workflows.Reimport(t.Context(), s.Temporal, hostQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "0", HeartbeatTimeout: "2s"})
	require.NoError(t, err)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, [3]int64{54, 0, 6}, [3]int64{result.Records, result.Rejected, result.Skipped})
	require.Equal(t, int64(54), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data ->> 'checked' = 'true'`))
	require.Equal(t, int64(6), s.Count(`SELECT count(*) FROM scrapehaul.skipped_records WHERE reason = 'every tenth is skipped'`))
	require.Equal(t, int64(records), calls.Load(), "one attempt")
}

func TestHostKeepsRecordsInASinkOfItsOwn(t *testing.T) {
	t.Parallel()
	elsewhere, err := postgres.Open(postgrestest.NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, elsewhere.Close()) })
	_, err = postgres.Migrate(t.Context(), elsewhere)
	require.NoError(t, err)
	s, plugin := newHost(t, func(o *scrapehaul.Options) { o.RecordSink = postgres.NewStore(elsewhere, nil) })
	host := worker.New(s.Temporal, hostQueue, worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	_, err = workflows.Reimport(t.Context(), s.Temporal, hostQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "0"})
	require.NoError(t, err)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	var there int64
	require.NoError(t, elsewhere.Get(&there, `SELECT count(*) FROM scrapehaul.scraped_records`))
	require.Equal(t, int64(500), there)
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.imports`))
	require.True(t, s.Cloud.Deleted(id))
}

func TestPluginServesOneWorker(t *testing.T) {
	t.Parallel()
	s, plugin := newHost(t)
	options := worker.Options{Plugins: []worker.Plugin{plugin}}
	worker.New(s.Temporal, hostQueue, options)
	require.PanicsWithError(t, `the plugin is already on the worker of task queue "prices": create one plugin per worker`, func() {
		worker.New(s.Temporal, "another", options)
	})
}

func TestPluginNamesEveryInvalidOption(t *testing.T) {
	t.Parallel()
	options := scrapehaul.Options{SpoolMinFree: -1, MaxConcurrentImports: -2, APICallsPer15Minutes: -3, ArchiveRetention: -time.Hour, RecordsRetention: -time.Hour, KeepImports: -1,
		Clouds:      map[string]*webscraper.Client{"one": nil, "two": nil, "three": nil},
		OnPublished: &activities.FollowUp{}, PublishedWebhook: &activities.Webhook{URL: "ftp://host/token-zx93", Secret: "token-zx93"}}
	_, err := scrapehaul.NewPlugin(options)
	for _, want := range []string{
		"Client is missing", `Clouds["one"] is missing`, `Clouds["two"] is missing`, "DB is missing", "SpoolDir is missing",
		"SpoolMinFree is -1: must not be negative", "MaxConcurrentImports is -2: must not be negative",
		`OnPublished has the workflow type "": want 1 to 255 bytes`, `OnPublished has the task queue "": want 1 to 255 bytes`,
		"PublishedWebhook.URL is not a webhook's URL", "PublishedWebhook.Secret is not a Standard Webhooks secret",
		"APICallsPer15Minutes is -3: must not be negative", "ArchiveRetention is -1h0m0s: must not be negative",
		"RecordsRetention is -1h0m0s, KeepImports -1: must not be negative",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "zx93")
	for range 20 {
		_, again := scrapehaul.NewPlugin(options)
		require.EqualError(t, again, err.Error(), "always in the same order")
	}
	_, err = scrapehaul.NewPlugin(scrapehaul.Options{})
	require.ErrorContains(t, err, "Cloud is missing")
}

func TestPluginRejectsMappingsOfMissingAccounts(t *testing.T) {
	t.Parallel()
	cloud, err := webscraper.NewClient("token-of-one-account")
	require.NoError(t, err)
	const rest = ", table: t, mode: replace-job, columns: [{name: v, type: text}]}"
	mappings, err := mapping.Parse("m.yaml", []byte("mappings: [{sitemap: books"+rest+", {account: acme, sitemap: books"+rest+", {account: globex, sitemap_prefix: shop-"+rest+"]"))
	require.NoError(t, err)
	for _, c := range []struct {
		options scrapehaul.Options
		lacks   []string
	}{
		{scrapehaul.Options{Cloud: cloud}, []string{`acme:books for account "acme", which`, `globex:shop-* for account "globex", which`}},
		{scrapehaul.Options{Clouds: map[string]*webscraper.Client{"acme": cloud, "globex": cloud}}, []string{`books for account "default", which`}},
		{scrapehaul.Options{Cloud: cloud, Clouds: map[string]*webscraper.Client{"acme": cloud, "globex": cloud}}, nil},
	} {
		c.options.Mappings = mappings
		_, err := scrapehaul.NewPlugin(c.options)
		require.ErrorContains(t, err, "DB is missing")
		require.Equal(t, len(c.lacks), strings.Count(err.Error(), "Mappings has one of"))
		for _, each := range c.lacks {
			require.ErrorContains(t, err, "Mappings has one of "+each)
		}
	}
}
