package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMain(m *testing.M) { systemtest.Main(m) }

// A custom sink: check it with sinktest, then set it as RecordSink in the plugin's
// options.
func TestFilesKeepThePromisesOfASink(t *testing.T) {
	files, err := OpenFiles(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, sinktest.TestRecordSink(t.Context(), files, func(_ context.Context, id int64) (sinktest.Records, error) {
		return files.Read(id)
	}))
	again, err := OpenFiles(files.dir)
	require.NoError(t, err)
	require.EqualExportedValues(t, files.imports, again.imports, "what another process finds")
}

// A folder in the place of the new imports.json is one of many ways in which writing fails.
func TestAChangeThatIsNotDurableIsUndone(t *testing.T) {
	files, err := OpenFiles(t.TempDir())
	require.NoError(t, err)
	request := sink.ImportRequest{Job: sink.ScrapingJob{ScrapingJobID: 1}, WorkflowRunID: "run", RequestedAt: time.Now()}
	attempt, err := files.BeginImport(t.Context(), request)
	require.NoError(t, err)
	inTheWay := filepath.Join(files.dir, "imports.json.new", "file")
	require.NoError(t, os.MkdirAll(inTheWay, 0o700))
	require.Error(t, attempt.Publish(t.Context(), func() {}))
	require.False(t, attempt.Published())
	request.RequestedAt = request.RequestedAt.Add(time.Second)
	request.Pass++
	_, err = files.BeginImport(t.Context(), request)
	require.Error(t, err)
	require.NoError(t, os.RemoveAll(filepath.Dir(inTheWay)))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.True(t, attempt.Published())
}

func TestAWorkerKeepsRecordsInFiles(t *testing.T) {
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	program, dir := filepath.Join(t.TempDir(), "recordsink"), t.TempDir()
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	log := new(programtest.Log)
	worker, err := childprocess.Start(childprocess.Command{Path: program, Env: append(s.Env.Variables(), "SPOOL_DIR="+s.Spool, "FILES_DIR="+dir), Log: log})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, worker.Stop()) })

	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome, "%s", log)
	files, err := OpenFiles(dir)
	require.NoError(t, err)
	records, err := files.Read(id)
	require.NoError(t, err)
	require.Len(t, records, 500)
	require.True(t, s.Cloud.Deleted(id))
}
