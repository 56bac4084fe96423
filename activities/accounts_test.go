package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const acmesToken = "api-token-acme"

// withAcme adds an account with its own cloud.
func (w *world) withAcme(token string) *webscrapertest.Cloud {
	w.t.Helper()
	cloud := webscrapertest.NewServer(w.t, webscrapertest.Options{Tokens: []string{acmesToken}})
	client, err := webscraper.NewClient(token, webscraper.WithBaseURI(cloud.URL))
	require.NoError(w.t, err)
	w.steps.Accounts["acme"] = activities.NewAccount("acme", client, postgres.NewLedger(w.db, "acme", 1_000_000))
	return cloud
}

// check is the first step of an import.
func (w *world) check(id int64, account string) (activities.DownloadScrapingJobResult, error) {
	w.t.Helper()
	return run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob", activities.DownloadScrapingJobInput{
		ScrapingJobID: id, Account: account, File: file, IfDue: &activities.IfDue{},
	})
}

// importedOf imports an account's job in the same steps as a workflow.
func (w *world) importedOf(id int64, account string) activities.DeleteScrapingJobInput {
	w.t.Helper()
	download, err := w.check(id, account)
	require.NoError(w.t, err)
	job := download.Described.Job
	imported, err := w.tryImport(activities.ImportRecordsInput{
		Job: job, File: file, Bytes: download.Bytes, SHA256: download.SHA256,
		RunID: "run", Pass: 1, RequestedAt: time.Now(), BatchRecords: 10, MaxRecordBytes: 1 << 20,
	})
	require.NoError(w.t, err)
	return activities.DeleteScrapingJobInput{Job: job, ImportID: imported.ImportID, Counts: imported.Counts}
}

func (w *world) refused() (jobs []postgres.RefusedJob) {
	w.t.Helper()
	jobs, err := w.steps.Store.Refused(w.t.Context())
	require.NoError(w.t, err)
	for i := range jobs {
		jobs[i].RefusedAt = time.Time{}
	}
	return jobs
}

func TestJobIsDeletedInTheAccountThatHasIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	acme.AddJob(webscrapertest.Job{ID: 7, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	deletion := w.importedOf(7, "acme")
	require.Equal(t, "acme", deletion.Job.Account)
	again, err := w.check(7, "")
	require.NoError(t, err)
	require.Equal(t, "acme", again.Described.Account, "that of the published import")
	require.True(t, again.Described.Unchanged())
	require.True(t, w.delete(deletion).Deleted)
	require.True(t, acme.Deleted(7))
	require.Empty(t, w.cloud.Requests(), "no calls for the other account")

	unknown, err := w.check(8, "")
	require.NoError(t, err)
	require.Equal(t, sink.DefaultAccount, unknown.Described.Account)
	require.Len(t, w.cloud.Requests(), 1)
}

func TestJobIsRefusedIfAnotherAccountHasPublishedItsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	for _, cloud := range []*webscrapertest.Cloud{acme, w.cloud} {
		cloud.AddJob(webscrapertest.Job{ID: 7, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	}
	acme.AddJob(webscrapertest.Job{ID: 8, SitemapName: "shop", Records: webscrapertest.Products(20, 2)})
	// Nothing is published yet: the ID belongs to the account that publishes first.
	w.importedOf(7, sink.DefaultAccount)
	require.Equal(t, int64(20), w.visible())
	require.Empty(t, w.refused())
	require.NoError(t, acme.SetRecords(7, webscrapertest.Products(30, 1)))

	before := len(acme.Requests())
	for range 2 {
		described, err := w.check(7, "acme")
		require.NoError(t, err)
		require.Equal(t, "acme", described.Described.Account)
		require.Equal(t, sink.DefaultAccount, described.Described.OtherAccount)
		require.False(t, described.Described.Due(true))
		require.Empty(t, described.SHA256)
	}
	require.Len(t, acme.Requests(), before, "it costs no call")
	require.Empty(t, w.files())
	refused := []postgres.RefusedJob{{ScrapingJobID: 7, Account: "acme", Owner: sink.DefaultAccount}}
	require.Equal(t, refused, w.refused(), "once, with the time of the last")

	found, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Account: "acme", Page: 1})
	require.NoError(t, err)
	require.Equal(t, 2, found.Listed)
	require.Len(t, found.Due, 1)
	require.Equal(t, int64(8), found.Due[0].Job.ScrapingJobID)
	require.Equal(t, "acme", found.Due[0].Job.Account)
	require.Equal(t, refused, w.refused())
	require.Empty(t, w.findDue(activities.Filter{}), "the owner's is published")

	_, err = run[any](w, "RefuseScrapingJob", activities.RefuseScrapingJobInput{ScrapingJobID: 7, Account: "globex", Owner: sink.DefaultAccount})
	require.NoError(t, err)
	require.Len(t, w.refused(), 2)
	require.Equal(t, int64(20), w.visible(), "the published records are unchanged")
}

// Another account's token finds no job, as if it were deleted.
func TestExistingJobRecordedAsDeletedIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	acme.AddJob(webscrapertest.Job{ID: 7, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	deletion := w.importedOf(7, "acme")
	right := w.steps.Accounts["acme"]
	w.steps.Accounts["acme"] = w.steps.Accounts[sink.DefaultAccount]
	require.True(t, w.delete(deletion).Deleted)
	require.False(t, acme.Deleted(7))

	w.steps.Accounts["acme"] = right
	find := func() []activities.DueScrapingJob {
		found, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Account: "acme", Page: 1})
		require.NoError(t, err)
		return found.Due
	}
	require.Empty(t, find(), "the list may be older than the deletion")
	w.db.MustExec(`UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = cloud_deleted_at - interval '2 hours'`)
	due := find()
	require.Len(t, due, 1)
	require.True(t, due[0].NotDeleted)
	require.True(t, w.delete(deletion).Deleted)
	require.True(t, acme.Deleted(7))
}

func TestAccountFilterAppliesToItsJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	acme.AddJob(webscrapertest.Job{ID: 7, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	w.cloud.AddJob(webscrapertest.Job{ID: 8, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	filter := activities.Filter{Statuses: []string{"finished"}, Accounts: map[string]activities.AccountFilter{"acme": {SitemapNamePrefix: new("books")}}}
	require.Equal(t, []int64{8}, w.findDue(filter))
	found, err := run[activities.FindDueScrapingJobsResult](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Account: "acme", Page: 1, Filter: filter})
	require.NoError(t, err)
	require.Empty(t, found.Due)
	download, err := run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob", activities.DownloadScrapingJobInput{
		ScrapingJobID: 7, Account: "acme", File: file, IfDue: &activities.IfDue{Filter: filter},
	})
	require.NoError(t, err)
	require.Contains(t, download.Described.Outside, `does not start with "books"`)
}

// Every step of an account without its token names the account and says what to do.
func TestAccountWithoutItsTokenIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	acme.AddJob(webscrapertest.Job{ID: 7, SitemapID: 12, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	deletion := w.importedOf(7, "acme")
	client, err := webscraper.NewClient("withdrawn-zx99", webscraper.WithBaseURI(acme.URL))
	require.NoError(t, err)
	withdrawn := activities.NewAccount("acme", client, postgres.NewLedger(w.db, "acme", 1_000_000))
	for _, c := range []struct {
		kind, sentence string
		retried        bool // another worker may have it
		account        *activities.Account
	}{
		{activities.ErrorTokenRefused, `Web Scraper Cloud refuses the API token of account "acme"; fix WEBSCRAPER_API_TOKENS (or its file) of the workers: webscraper: `, false, withdrawn},
		{activities.ErrorUnknownAccount, `the workers have no API token for account "acme": add it to WEBSCRAPER_API_TOKENS (or its file) of all workers, or close the import with abandon`, true, nil},
	} {
		delete(w.steps.Accounts, "acme")
		if c.account != nil {
			w.steps.Accounts["acme"] = c.account
		}
		for step, in := range map[string]any{
			"DownloadScrapingJob": activities.DownloadScrapingJobInput{ScrapingJobID: 7, File: file, IfDue: &activities.IfDue{Again: true}},
			"DeleteScrapingJob":   deletion,
			"FindDueScrapingJobs": activities.FindDueScrapingJobsInput{Account: "acme", Page: 1},
			"CreateScrapingJob":   activities.CreateScrapingJobInput{Account: "acme", SitemapID: 12, Driver: "fast", CustomID: "mine"},
		} {
			_, err := run[any](w, step, in)
			requireFailure(t, err, c.kind, c.retried)
			failure := failureOf(t, err)
			require.Contains(t, failure.Message(), c.sentence, step)
			require.NotContains(t, failure.Message(), "zx99")
			var account string
			require.NoError(t, failure.Details(&account), step)
			require.Equal(t, "acme", account)
		}
	}
	accounts, err := run[[]string](w, "ListAccounts", nil)
	require.NoError(t, err)
	require.Equal(t, []string{sink.DefaultAccount}, accounts)
	require.False(t, acme.Deleted(7))
}

// forgetful is a custom sink that does not store accounts.
type forgetful struct{ sink.RecordSink }

func (f forgetful) PublishedImports(ctx context.Context, ids []int64) (map[int64]sink.PublishedImport, error) {
	published, err := f.RecordSink.PublishedImports(ctx, ids)
	for id, each := range published {
		each.Account = ""
		published[id] = each
	}
	return published, err
}

func TestAccountIsTheImportsIfTheSinkStoresNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.withAcme(acmesToken)
	w.steps.Sink = forgetful{w.steps.Sink}
	acme.AddJob(webscrapertest.Job{ID: 7, SitemapName: "shop", Records: webscrapertest.Products(20, 1)})
	deletion := w.importedOf(7, "acme")
	again, err := w.check(7, "acme")
	require.NoError(t, err)
	require.True(t, again.Described.Unchanged())
	deletion.Job = again.Described.Published.ScrapingJob // as the workflow has it from then on
	require.True(t, w.delete(deletion).Deleted)
	require.True(t, acme.Deleted(7), "not in the default account")
}
