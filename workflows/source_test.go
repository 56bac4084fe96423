package workflows_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestDownloadsGetTheSourceAndTheImportTheFilesFormat(t *testing.T) {
	w := newWorld(t, "finished")
	breaks := errors.New("broken") // so that a second step resumes the download
	w.onDownload = func() (err error) {
		err, breaks = breaks, nil
		return err
	}
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Settings: workflows.Settings{HoldBeforeDelete: "0", SourceFormat: "csv", SourceRaw: true},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Len(t, w.downloads, 2)
	for _, download := range w.downloads {
		require.Equal(t, activities.Source{Format: activities.FormatCSV, Raw: true}, download.Source)
	}
	require.Len(t, w.imports, 1)
	require.Equal(t, activities.FormatCSV, w.imports[0].Format)
}

// A file from the archive may not be in the requested format.
func TestFileIsImportedInItsOwnFormat(t *testing.T) {
	w := newWorld(t, "finished")
	w.downloadsJSON = true
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Settings: workflows.Settings{HoldBeforeDelete: "0", SourceFormat: "csv"},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Empty(t, w.imports[0].Format)
}
