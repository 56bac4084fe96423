package systemtest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// newArchiving returns a system whose workers archive into the folder.
func newArchiving(t *testing.T) (s *systemtest.System, folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "archive") // created by the worker
	return systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "0", "ARCHIVE_URL": "file://" + filepath.ToSlash(folder), "ARCHIVE_RETENTION": "2160h",
	}), folder
}

func archivedFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "scrapingjobs", "*", "*"))
	require.NoError(t, err)
	return files
}

// importAndReplaceWorker imports a job, which is deleted in the cloud, and starts another
// worker on another spool.
func importAndReplaceWorker(s *systemtest.System, records int) (id int64, spool string) {
	s.T.Helper()
	worker := s.StartWorker(s.Spool)
	id = s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(records, 1)})
	s.Notify(id)
	require.Equal(s.T, workflows.Deleted, s.Result(id).Outcome)
	require.True(s.T, s.Cloud.Deleted(id))
	require.NoError(s.T, worker.Stop())
	spool = s.T.TempDir()
	s.StartWorker(spool)
	return id, spool
}

func reimport(s *systemtest.System, id int64) {
	s.T.Helper()
	_, err := s.Programs.RunStarter(s.T.Context(), s.Env, "reimport", strconv.FormatInt(id, 10))
	require.NoError(s.T, err)
}

func TestDeletedJobIsImportedAgainFromTheArchiveByAnotherWorker(t *testing.T) {
	t.Parallel()
	s, folder := newArchiving(t)
	id, spool := importAndReplaceWorker(s, 5000)
	require.Len(t, archivedFiles(t, folder), 1)
	deletedBefore := s.Count(`SELECT extract(epoch FROM cloud_deleted_at)::bigint FROM scrapehaul.scraping_jobs`)
	s.DB.MustExec(`UPDATE scrapehaul.import_records SET data = '{}' WHERE record_number > 100`) // damage to repair

	reimport(s, id)
	result := s.Result(id)
	require.Equal(t, workflows.Restored, result.Outcome, result.Reason)
	require.Contains(t, result.Reason, "from the archive")
	require.Equal(t, int64(5000), result.Records)
	s.RequireRecords(id, 5000)
	require.Equal(t, int64(5000), s.Count(`SELECT count(*) FROM scrapehaul.import_records`), "the replaced records are removed")
	require.Equal(t, int64(5000), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE sitemap_name = 'my-sitemap'`))
	require.Equal(t, deletedBefore, s.Count(`SELECT extract(epoch FROM cloud_deleted_at)::bigint FROM scrapehaul.scraping_jobs`))
	require.Equal(t, 1, s.Downloads(id))
	require.Len(t, archivedFiles(t, folder), 1, "it is archived already")
	s.RequireEmptySpool(spool)
}

func TestRemovedRecordsAreRestoredFromTheArchive(t *testing.T) {
	t.Parallel()
	s, _ := newArchiving(t)
	s.Env = s.Env.With("KEEP_IMPORTS", "1")
	s.StartWorker(s.Spool)
	var ids []int64
	for range 2 {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(500, 1)})
		s.Notify(id)
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		ids = append(ids, id)
	}
	out, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Contains(t, out, "removed by RECORDS_RETENTION and KEEP_IMPORTS: 1 imports with 500 records\n")
	require.Equal(t, int64(500), s.Count(`SELECT count(*) FROM scrapehaul.import_records`))
	s.RequireRecords(ids[1], 500)

	s.Notify(ids[0]) // late
	result := s.Result(ids[0])
	require.Equal(t, workflows.NotFound, result.Outcome)
	require.Contains(t, result.Reason, "its 500 records were removed on ")
	reimport(s, ids[0])
	require.Equal(t, workflows.Restored, s.Result(ids[0]).Outcome)
	s.RequireRecords(ids[0], 500)
	require.Equal(t, []int{1, 1}, []int{s.Downloads(ids[0]), s.Downloads(ids[1])})
}

func TestCorruptArchivedFileIsRejectedAndPublishedRecordsStay(t *testing.T) {
	t.Parallel()
	s, folder := newArchiving(t)
	id, spool := importAndReplaceWorker(s, 500)
	archived := archivedFiles(t, folder)[0]
	intact, err := os.ReadFile(archived)
	require.NoError(t, err)
	corrupt := append([]byte(nil), intact...)
	corrupt[len(corrupt)-100] ^= 1
	require.NoError(t, os.WriteFile(archived, corrupt, 0o600))

	reimport(s, id)
	require.Contains(t, s.Attention(id), "repair the archived file, or remove it")
	require.Contains(t, s.Attention(id), filepath.Base(archived))
	s.RequireRecords(id, 500)
	s.RequireEmptySpool(spool)

	require.NoError(t, os.WriteFile(archived, intact, 0o600))
	s.Signal(id, workflows.ReimportSignal)
	require.Equal(t, workflows.Restored, s.Result(id).Outcome)
	s.RequireRecords(id, 500)
}

func TestJobImportedBeforeThereWasAnArchiveIsArchivedBeforeItIsDeleted(t *testing.T) {
	t.Parallel()
	s, folder := newArchiving(t)
	archiving := s.Env
	s.Env = s.Env.With("ARCHIVE_URL", "")
	worker := s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	_, err := workflows.Notify(t.Context(), s.Temporal, workflows.DefaultTaskQueue,
		workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "1h"})
	require.NoError(t, err)
	s.WaitForStep(id, workflows.StepHold)
	require.NoError(t, worker.Stop())
	s.Env = archiving
	s.StartWorker(s.Spool)

	s.Signal(id, workflows.DeleteNowSignal)
	s.WaitFor("the archived file", func() bool { return len(archivedFiles(t, folder)) == 1 })
	s.WaitForStep(id, workflows.StepHold)
	require.False(t, s.Cloud.Deleted(id))
	s.Signal(id, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.RequireRecords(id, 500)
	require.Len(t, archivedFiles(t, folder), 1)
}
