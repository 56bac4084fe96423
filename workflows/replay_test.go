package workflows_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/replaytest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// recordings returns the folders of histories, each recorded from merged code and named by
// day and commit. The first one is the baseline, 0.1.0.
func recordings(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("testdata/histories/*-*-*-*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	return folders
}

// Workflows started by merged code must continue with this code. CONTRIBUTING.md says how
// their histories are recorded. Never record one again to make this test pass: a change of
// the workflow needs workflow.GetVersion.
func TestHistoriesOfMergedCodeReplay(t *testing.T) {
	for _, recording := range recordings(t) {
		histories, err := filepath.Glob(filepath.Join(recording, "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, histories, recording)
		for _, file := range histories {
			t.Run(filepath.Base(recording)+"/"+filepath.Base(file), func(t *testing.T) {
				require.NoError(t, replaytest.Replay(readHistory(t, file)))
			})
		}
	}
}

func TestEveryRecordingHasBothWorkflows(t *testing.T) {
	for _, recording := range recordings(t) {
		for name, pattern := range map[string]string{
			workflows.ImportScrapingJobName:     "*-[0-9]*-*.json",
			workflows.ReconcileScrapingJobsName: "*-" + workflows.ReconcileScheduleID + "-*.json",
		} {
			histories, err := filepath.Glob(filepath.Join(recording, pattern))
			require.NoError(t, err)
			require.NotEmpty(t, histories, "%s of %s", name, recording)
		}
	}
}

func readHistory(t *testing.T, file string) *historypb.History {
	t.Helper()
	opened, err := os.Open(file)
	require.NoError(t, err)
	defer func() { require.NoError(t, opened.Close()) }()
	history, err := client.HistoryFromJSON(opened, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return history
}
