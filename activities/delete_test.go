package activities_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func (w *world) delete(in activities.DeleteScrapingJobInput) activities.DeleteScrapingJobResult {
	w.t.Helper()
	result, err := run[activities.DeleteScrapingJobResult](w, "DeleteScrapingJob", in)
	require.NoError(w.t, err)
	return result
}

func (w *world) deletions() int { return w.requests(http.MethodDelete, "") }

// importedJob imports a job that may then be deleted.
func (w *world) importedJob(job webscrapertest.Job) (id int64, in activities.DeleteScrapingJobInput) {
	w.t.Helper()
	id = w.cloud.AddJob(job)
	imported, result := w.imported(id, 1)
	return id, activities.DeleteScrapingJobInput{
		Job: imported.Job, ImportID: result.ImportID, Counts: result.Counts,
	}
}

const recordedDeletions = `SELECT count(*) FROM scrapehaul.scraping_jobs WHERE cloud_deleted_at IS NOT NULL`

func TestVerifiedJobIsDeletedInTheCloud(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	require.Equal(t, activities.DeleteScrapingJobResult{Deleted: true}, w.delete(in))
	require.True(t, w.cloud.Deleted(id))
	require.Equal(t, int64(1), w.count(recordedDeletions))
	require.Equal(t, int64(20), w.visible())

	require.Equal(t, activities.DeleteScrapingJobResult{Deleted: true}, w.delete(in), "a retry finds it gone")
	require.Equal(t, 1, w.deletions())
}

func TestMissingJobCountsAsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	// Someone else deletes it between our check and our deletion.
	w.cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Effect: webscrapertest.FailWith(http.StatusNotFound)})
	require.Equal(t, activities.DeleteScrapingJobResult{Deleted: true}, w.delete(in))
	require.Equal(t, 1, w.deletions())
	require.False(t, w.cloud.Deleted(id))
	require.Equal(t, int64(1), w.count(recordedDeletions))
}

func TestFailedDeletionIsRetriedAndNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	w.cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Times: 1, Effect: webscrapertest.Reset()})
	_, err := run[any](w, "DeleteScrapingJob", in)
	requireFailure(t, err, activities.ErrorCloud, true)
	require.Zero(t, w.count(recordedDeletions))

	require.True(t, w.delete(in).Deleted)
	require.True(t, w.cloud.Deleted(id))
}

// The workflow must learn what has become of the job.
func TestDeletionThatHasStartedIsCompletedAndRecordedDespiteACancellation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	ctx, cancel := context.WithCancel(t.Context())
	w.cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Effect: func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			cancel()
			next.ServeHTTP(rw, r)
		})
	}})
	env := w.environment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	deleted, err := runIn[activities.DeleteScrapingJobResult](w, env, "DeleteScrapingJob", in)
	require.NoError(t, err)
	require.True(t, deleted.Deleted)
	require.True(t, w.cloud.Deleted(id))
	require.Equal(t, int64(1), w.count(recordedDeletions))
}

// It may come before the deletion has started or just after.
func TestCancellationDuringTheLastCheckIsReportedTruthfully(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	ctx, cancel := context.WithCancel(t.Context())
	w.cloud.Inject(webscrapertest.Fault{Method: http.MethodGet, Effect: func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(rw, r) // the last check, which the client may or may not read
			_ = http.NewResponseController(rw).Flush()
			cancel()
		})
	}})
	env := w.environment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	deleted, err := runIn[activities.DeleteScrapingJobResult](w, env, "DeleteScrapingJob", in)
	require.Equal(t, w.cloud.Deleted(id), err == nil && deleted.Deleted, "%v", err)
	require.Equal(t, w.cloud.Deleted(id), w.count(recordedDeletions) == 1)
}

func TestUnverifiedJobStaysInTheCloud(t *testing.T) {
	t.Parallel()
	twenty := webscrapertest.Products(20, 1)
	for _, c := range []struct {
		name    string
		job     webscrapertest.Job
		prepare func(w *world, in *activities.DeleteScrapingJobInput)
		reason  string
	}{
		{
			name: "a record is missing in the database", job: webscrapertest.Job{Records: twenty},
			prepare: func(w *world, _ *activities.DeleteScrapingJobInput) {
				w.db.MustExec(`DELETE FROM scrapehaul.import_records WHERE record_number = 7`)
			},
			reason: "the database has 19 records, 0 rejected and 0 skipped ones, but the import had 20, 0 and 0",
		},
		{
			name: "an extra record is in the database", job: webscrapertest.Job{Records: twenty},
			prepare: func(w *world, in *activities.DeleteScrapingJobInput) {
				w.db.MustExec(`INSERT INTO scrapehaul.import_records VALUES ($1, 21, '{}')`, in.ImportID)
			},
			reason: "the database has 21 records, 0 rejected and 0 skipped ones, but the import had 20, 0 and 0",
		},
		{
			name: "a skipped record is missing in the database", job: webscrapertest.Job{Records: twenty},
			prepare: func(_ *world, in *activities.DeleteScrapingJobInput) { in.Counts.Skipped = 1 },
			reason:  "the database has 20 records, 0 rejected and 0 skipped ones, but the import had 20, 0 and 1",
		},
		{
			name: "the download was short", job: webscrapertest.Job{Records: webscrapertest.RawBody(`{"n":1}`, 2)},
			reason: "1 record was imported, but the job has stored 2",
		},
		{
			name: "records were rejected", job: webscrapertest.Job{Records: webscrapertest.RawBody(`{"n":1}`+"\n"+`{"n":`, 2)},
			reason: "1 record was rejected (see scrapehaul.rejected_records)",
		},
		{
			name: "another import is published", job: webscrapertest.Job{Records: twenty},
			prepare: func(w *world, in *activities.DeleteScrapingJobInput) {
				w.imported(in.Job.ScrapingJobID, 2)
			},
			reason: "import 1 is not the published one",
		},
		{
			name: "no import is published", job: webscrapertest.Job{Records: twenty},
			prepare: func(_ *world, in *activities.DeleteScrapingJobInput) { in.Job.ScrapingJobID = 999 },
			reason:  "import 1 is not the published one",
		},
		{
			name: "the job was stopped", job: webscrapertest.Job{Records: twenty, Status: "stopped"},
			reason: `the job is "stopped": it can still be continued in Web Scraper Cloud`,
		},
		{
			name: "the job has failed", job: webscrapertest.Job{Records: twenty, Status: "failed"},
			reason: `the job is "failed": it can still be continued in Web Scraper Cloud`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			id, in := w.importedJob(c.job)
			if c.prepare != nil {
				c.prepare(w, &in)
			}
			require.Equal(t, activities.DeleteScrapingJobResult{Reason: c.reason}, w.delete(in))
			require.Zero(t, w.deletions())
			require.False(t, w.cloud.Deleted(id))
			require.Zero(t, w.count(recordedDeletions))
		})
	}
}

func TestJobWithAllowedOrAcceptedRejectsIsDeleted(t *testing.T) {
	t.Parallel()
	for name, allow := range map[string]func(*activities.DeleteScrapingJobInput){
		"allowed":  func(in *activities.DeleteScrapingJobInput) { in.MaxRejected = 1 },
		"accepted": func(in *activities.DeleteScrapingJobInput) { in.Accepted = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"n":1}`+"\n"+`{"n":`, 2)})
			allow(&in)
			require.True(t, w.delete(in).Deleted)
			require.True(t, w.cloud.Deleted(id))
		})
	}
}

// Records kept only in part need an operator, however many may be rejected.
func TestJobStaysInTheCloudWhileARecordIsKeptOnlyInPart(t *testing.T) {
	t.Parallel()
	const reason = "1 record was rejected, 1 of them kept only in part, the first 64 KiB (see scrapehaul.rejected_records)"
	long := `{"long":"` + strings.Repeat("x", 100_000) + `"}`
	prepare := func(w *world, archiving bool) (bucket *blob.Bucket, in activities.DeleteScrapingJobInput) {
		if archiving {
			_, bucket = w.archiving()
		}
		imported := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"n":1}`, long)}), 1)
		imported.MaxRecordBytes = 1000
		result, err := w.tryImport(imported)
		require.NoError(t, err)
		return bucket, activities.DeleteScrapingJobInput{Job: imported.Job, ImportID: result.ImportID, Counts: result.Counts, MaxRejected: 1}
	}
	t.Run("not archived", func(t *testing.T) {
		w := newWorld(t)
		_, in := prepare(w, false)
		require.Equal(t, int64(1), in.Counts.Cut)
		require.Equal(t, activities.DeleteScrapingJobResult{Reason: reason}, w.delete(in))
		in.Counts.Cut, in.Accepted = 0, true
		require.Equal(t, activities.DeleteScrapingJobResult{Reason: reason}, w.delete(in), "the operator accepted something else")
		in.Counts.Cut = 1
		require.True(t, w.delete(in).Deleted)
	})
	t.Run("archived", func(t *testing.T) {
		w := newWorld(t)
		_, in := prepare(w, true)
		require.Zero(t, in.Counts.Cut)
		require.Zero(t, w.describe(in.Job.ScrapingJobID).Published.Cut)
		require.True(t, w.delete(in).Deleted)
	})
	t.Run("no longer archived", func(t *testing.T) {
		w := newWorld(t)
		bucket, in := prepare(w, true)
		for _, key := range w.archived(bucket) {
			require.NoError(t, bucket.Delete(t.Context(), key))
		}
		require.Equal(t, activities.DeleteScrapingJobResult{Reason: reason}, w.delete(in))
	})
}

func TestJobThatHasRunAgainIsNotDeleted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*webscrapertest.Cloud, int64) error{
		"it runs": func(cloud *webscrapertest.Cloud, id int64) error {
			return cloud.Continue(id, webscrapertest.Products(30, 2))
		},
		"it has other counts": func(cloud *webscrapertest.Cloud, id int64) error {
			return cloud.SetRecords(id, webscrapertest.Products(30, 2))
		},
		"it was stopped": func(cloud *webscrapertest.Cloud, id int64) error {
			return cloud.SetStatus(id, "stopped")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
			require.NoError(t, change(w.cloud, id))
			result := w.delete(in)
			require.True(t, result.Changed)
			require.False(t, result.Deleted)
			require.Contains(t, result.Reason, "the job has run again since it was imported")
			require.Zero(t, w.deletions())
			require.False(t, w.cloud.Deleted(id))
			require.Zero(t, w.count(recordedDeletions))
		})
	}
}

func TestRenamedJobIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{SitemapName: "my-sitemap", CustomID: "custom-12", Records: webscrapertest.Products(20, 1)})
	in.Job.SitemapName, in.Job.CustomID = "its former name", "its former ID"
	require.True(t, w.delete(in).Deleted)
	require.True(t, w.cloud.Deleted(id))
}
