package activities_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// archiving adds an archive to the worker and returns its folder.
func (w *world) archiving() (dir string, bucket *blob.Bucket) {
	w.t.Helper()
	dir = filepath.Join(w.t.TempDir(), "archive")
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{CreateDir: true, NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, bucket.Close()) })
	w.steps.Archive = archive.New(bucket)
	return dir, bucket
}

// archived lists the archive's keys, oldest first per job.
func (w *world) archived(bucket *blob.Bucket) (keys []string) {
	w.t.Helper()
	for blobs := bucket.List(nil); ; {
		next, err := blobs.Next(w.t.Context())
		if errors.Is(err, io.EOF) {
			return keys
		}
		require.NoError(w.t, err)
		keys = append(keys, next.Key)
	}
}

// deleted imports a job that is then deleted in the cloud, and moves the worker to another
// spool.
func (w *world) deleted(records int) activities.ImportRecordsInput {
	w.t.Helper()
	_, in := w.importedJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(records, 1)})
	require.True(w.t, w.delete(in).Deleted)
	imported := activities.ImportRecordsInput{Job: in.Job}
	require.NoError(w.t, w.db.Get(&imported.SHA256, `SELECT sha256 FROM scrapehaul.imports`))
	w.spool = w.t.TempDir()
	w.steps.Spool = openSpool(w.t, w.spool, 0)
	return imported
}

func (w *world) tryAgain(id int64, again bool) (activities.DownloadScrapingJobResult, error) {
	w.t.Helper()
	return run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file, IfDue: &activities.IfDue{Again: again}})
}

func TestPublishedFileIsArchivedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)})
	w.imported(id, 1)
	first := w.archived(bucket)
	require.Len(t, first, 1)
	in, _ := w.imported(id, 2)
	require.Equal(t, first, w.archived(bucket), "the same content of the same job is archived already")
	_, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, first, w.archived(bucket), "a retry")

	require.NoError(t, w.cloud.SetRecords(id, webscrapertest.Products(100, 2)))
	w.imported(id, 3)
	require.Len(t, w.archived(bucket), 2)
	require.NoError(t, w.cloud.SetStatus(id, "stopped"))
	w.imported(id, 4)
	require.Len(t, w.archived(bucket), 3, "the job has changed")
}

func TestWithheldImportIsNotArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)})
	w.imported(id, 1)
	w.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Empty()})
	_, short := w.imported(id, 2)
	require.False(t, short.Published)
	require.Len(t, w.archived(bucket), 1)
}

func TestImportIsPublishedWhileArchivingFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir, bucket := w.archiving()
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	require.NoError(t, os.Remove(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // not a folder, so not writable
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorArchive, true)
	require.ErrorContains(t, err, "the records are published, but their file is not archived yet: ")
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, []string{file}, w.files(), "it is still needed")

	require.NoError(t, os.Remove(dir))
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.True(t, result.Published)
	require.Len(t, w.archived(bucket), 1)
	require.Empty(t, w.files())
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.imports`))
}

func TestFileThatChangedOnTheDiskIsNotArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, _ := w.imported(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
	_, bucket := w.archiving()
	w.write(file, strings.Repeat("x", int(in.Bytes)))
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorFileGone, false)
	require.Empty(t, w.archived(bucket))
	require.Equal(t, int64(95), w.visible())
}

func TestStoppingWorkerLeavesNoIncompleteArchivedFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)})
	in, _ := w.imported(id, 1)
	_, err := w.tryDownload(id) // the import has removed its file
	require.NoError(t, err)
	_, bucket := w.archiving()
	stop := make(chan struct{})
	close(stop)
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	_, err = runIn[any](w, env, "ImportRecords", in)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	require.Empty(t, w.archived(bucket))

	_, err = w.tryImport(in)
	require.NoError(t, err)
	require.Len(t, w.archived(bucket), 1)
}

func TestJobIsNotDeletedBeforeItsFileIsArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	w.archiving()
	kept := w.delete(in)
	require.True(t, kept.Unarchived)
	require.False(t, kept.Deleted)
	require.Contains(t, kept.Reason, "the imported file is not in the archive")
	require.Zero(t, w.deletions())
	require.False(t, w.cloud.Deleted(id))

	_, result := w.imported(id, 2)
	in.ImportID = result.ImportID
	require.True(t, w.delete(in).Deleted)
	require.True(t, w.cloud.Deleted(id))
}

func TestJobNeedsNoArchivedFileAfterItsRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, in := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	w.archiving()
	w.steps.ArchiveRetention = time.Hour
	require.True(t, w.delete(in).Unarchived)
	w.db.MustExec(`UPDATE scrapehaul.scraping_jobs SET published_at = published_at - interval '2 hours'`)
	require.True(t, w.delete(in).Deleted)
}

func TestDeletedJobIsReimportedFromTheArchive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	before := w.deleted(95)
	var deletedAt time.Time
	require.NoError(t, w.db.Get(&deletedAt, `SELECT cloud_deleted_at FROM scrapehaul.scraping_jobs`))

	restored, err := w.tryAgain(before.Job.ScrapingJobID, true)
	require.NoError(t, err)
	require.False(t, restored.Described.Found)
	require.Equal(t, &before.Job, restored.Archived)
	require.Equal(t, before.SHA256, restored.SHA256)
	require.Equal(t, queue, restored.Described.WorkerTaskQueue)
	require.Equal(t, []string{file}, w.files())

	w.db.MustExec(`UPDATE scrapehaul.import_records SET data = '{}'`) // what the re-import fixes
	result, err := w.tryImport(activities.ImportRecordsInput{
		Job: *restored.Archived, File: file, Bytes: restored.Bytes, SHA256: restored.SHA256, RunID: "another run", Pass: 1,
		RequestedAt: time.Now(), BatchRecords: 10, MaxRecordBytes: 1 << 20,
		CloudDeletedAt: restored.Described.Published.CloudDeletedAt,
	})
	require.NoError(t, err)
	require.True(t, result.Published)
	require.Equal(t, int64(95), w.visible())
	require.Equal(t, int64(95), w.count(`SELECT count(DISTINCT web_scraper_order) FROM scrapehaul.scraped_records`))
	require.Empty(t, w.files())
	require.Len(t, w.archived(bucket), 1)
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE cloud_deleted_at = $1`, deletedAt),
		"the deletion stays recorded")
}

// Archived files without an account belong to the default account.
func TestArchivedFileBelongsToTheJobsAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	w.steps.Accounts["acme"] = activities.NewAccount("acme", w.client(apiToken), w.ledger)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)}), 1)
	in.Job.Account = "acme"
	_, err := w.tryImport(in)
	require.NoError(t, err)
	require.True(t, w.delete(activities.DeleteScrapingJobInput{Job: in.Job, ImportID: 1, Counts: sink.Counts{Records: 20}}).Deleted)
	archived := w.archived(bucket)
	require.Len(t, archived, 1)
	require.Regexp(t, fmt.Sprintf(`^accounts/acme/scrapingjobs/%d/`, in.Job.ScrapingJobID), archived[0])
	restored, err := w.tryAgain(in.Job.ScrapingJobID, true)
	require.NoError(t, err)
	require.Equal(t, &in.Job, restored.Archived)

	before := w.deleted(5).Job
	old, content, err := w.steps.Archive.OpenLatest(t.Context(), "", before.ScrapingJobID)
	require.NoError(t, err)
	text, err := io.ReadAll(content)
	require.NoError(t, errors.Join(err, content.Close()))
	old.Account, old.Job.Account = "", ""
	require.NoError(t, w.steps.Archive.Put(t.Context(), old, bytes.NewReader(text)))
	restored, err = w.tryAgain(before.ScrapingJobID, true)
	require.NoError(t, err)
	require.Equal(t, &before, restored.Archived)
}

// An archived file keeps its format, whatever SOURCE_FORMAT is now.
func TestArchivedCSVIsRestoredAsCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)})
	in := w.downloadedFrom(activities.Source{Format: activities.FormatCSV}, id, 1)
	_, err := w.tryImport(in)
	require.NoError(t, err)
	imported := w.view()
	require.Len(t, imported, 95)
	keys := w.archived(bucket)
	require.Len(t, keys, 1)
	require.Regexp(t, `\.csv\.zst$`, keys[0])
	require.NoError(t, w.client(apiToken).DeleteScrapingJob(t.Context(), id))

	restored, err := w.tryAgain(id, true)
	require.NoError(t, err)
	require.NotNil(t, restored.Archived)
	require.Equal(t, activities.FormatCSV, restored.Format)
	in.Pass, in.RequestedAt = 2, in.RequestedAt.Add(time.Minute)
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.True(t, result.Published)
	require.Equal(t, imported, w.view())
	require.Equal(t, keys, w.archived(bucket))
}

func TestDeletedJobIsLeftAloneUnlessItIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.deleted(20).Job.ScrapingJobID
	leave := func(again bool, why string) {
		t.Helper()
		left, err := w.tryAgain(id, again)
		require.NoError(t, err, why)
		require.Nil(t, left.Archived, why)
		require.False(t, left.Described.Found, why)
		require.Empty(t, w.files(), why)
	}
	leave(false, "no re-import was requested")
	require.NoError(t, bucket.Delete(t.Context(), w.archived(bucket)[0]))
	leave(true, "the archive does not have it")
	w.steps.Archive = nil
	leave(true, "there is no archive")
	require.Equal(t, int64(20), w.visible())
}

func TestArchivedFileOfAnotherJobIsNotImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.deleted(95).Job.ScrapingJobID
	key := w.archived(bucket)[0]
	other := w.deleted(20).Job.ScrapingJobID
	for _, each := range w.archived(bucket) {
		if each != key {
			require.NoError(t, bucket.Copy(t.Context(), key, each, nil))
		}
	}
	_, err := w.tryAgain(id, true)
	requireFailure(t, err, activities.ErrorArchiveCorrupt, false)
	require.ErrorContains(t, err, key)
	require.ErrorContains(t, err, fmt.Sprintf("it belongs to scraping job %d", other))
	require.Empty(t, w.files())
}

func TestCorruptArchivedFileIsNotImported(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func([]byte) []byte{
		"cut":            func(packed []byte) []byte { return packed[:len(packed)-10] },
		"changed":        func(packed []byte) []byte { packed[len(packed)-20] ^= 1; return packed },
		"something else": func([]byte) []byte { return []byte("{}") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, bucket := w.archiving()
			id := w.deleted(95).Job.ScrapingJobID
			key := w.archived(bucket)[0]
			packed, err := bucket.ReadAll(t.Context(), key)
			require.NoError(t, err)
			require.NoError(t, bucket.WriteAll(t.Context(), key, corrupt(packed), nil))
			_, err = w.tryAgain(id, true)
			requireFailure(t, err, activities.ErrorArchiveCorrupt, false)
			require.ErrorContains(t, err, "repair the archived file, or remove it")
			require.ErrorContains(t, err, key)
			require.Empty(t, w.files())
			require.Equal(t, int64(95), w.visible())
		})
	}
}

func TestRestoreKeepsTheMinimumFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.archiving()
	id := w.deleted(95).Job.ScrapingJobID
	w.steps.Spool = openSpool(t, w.spool, 1<<60)
	_, err := w.tryAgain(id, true)
	requireFailure(t, err, activities.ErrorDiskFull, true)
	require.Empty(t, w.files())
}

func TestArchivedFilesAreRemovedAfterTheirRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, bucket := w.archiving()
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	for pass, age := range []time.Duration{3 * time.Hour, time.Minute} {
		require.NoError(t, w.cloud.SetRecords(id, webscrapertest.Products(20, int64(pass+1))))
		in := w.downloaded(id, pass)
		in.RequestedAt = time.Now().Add(-age)
		_, err := w.tryImport(in)
		require.NoError(t, err)
	}
	sweep := func() int {
		t.Helper()
		result, err := run[activities.Removed](w, "RemoveUnfinishedImports", nil)
		require.NoError(t, err)
		return result.ArchivedFiles
	}
	both := w.archived(bucket)
	require.Len(t, both, 2)
	require.Zero(t, sweep(), "without a retention they stay forever")
	w.steps.ArchiveRetention = time.Hour
	require.Equal(t, 1, sweep())
	require.Equal(t, both[1:], w.archived(bucket))
	require.Zero(t, sweep())
}
