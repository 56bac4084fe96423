package workflows_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestSourceReachesTheDownloadsAndTheFormatOfTheFileTheImport(t *testing.T) {
	for name, process := range map[string]int{"as it is begun now": 1, "as it was begun by earlier versions": 0} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			breaks := errors.New("broken") // so that the download goes on in a second step
			w.onDownload = func() (err error) {
				err, breaks = breaks, nil
				return err
			}
			w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
				Process:  process,
				Settings: workflows.Settings{HoldBeforeDelete: "0", SourceFormat: "csv", SourceRaw: true},
			})
			require.NoError(t, w.GetWorkflowError())
			require.Len(t, w.downloads, 2)
			for _, download := range w.downloads {
				require.Equal(t, activities.Source{Format: activities.FormatCSV, Raw: true}, download.Source)
			}
			require.Len(t, w.imports, 1)
			require.Equal(t, activities.FormatCSV, w.imports[0].Format)
		})
	}
}

func TestInputsOfImportsFromJSONAreThoseOfEarlierVersions(t *testing.T) {
	w := newWorld(t, "finished")
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Process: 1, Settings: workflows.Settings{HoldBeforeDelete: "0", SourceFormat: "json"},
	})
	require.NoError(t, w.GetWorkflowError())
	for _, input := range []any{w.downloads[0], w.imports[0], workflows.Settings{}} {
		encoded, err := json.Marshal(input)
		require.NoError(t, err)
		require.NotContains(t, string(encoded), "source")
		require.NotContains(t, string(encoded), "format")
	}
}

// A worker of an earlier version downloads JSON whatever it is asked for.
func TestFileIsImportedAsWhatItIs(t *testing.T) {
	w := newWorld(t, "finished")
	w.downloadsJSON = true
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{
		Process: 1, Settings: workflows.Settings{HoldBeforeDelete: "0", SourceFormat: "csv"},
	})
	require.NoError(t, w.GetWorkflowError())
	require.Empty(t, w.imports[0].Format)
}
