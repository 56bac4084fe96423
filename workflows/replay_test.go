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

// landings are the folders of histories, each recorded from merged code: its day
// and its commit. The first of them is the baseline, 0.1.0.
func landings(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("testdata/histories/*-*-*-*")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	return folders
}

// Workflows that were begun by merged code have to go on with this code.
// CONTRIBUTING.md says how their histories are recorded. One is never recorded
// again to make this test pass: a change of the process needs
// workflow.GetVersion.
func TestWorkflowsBegunByLandedCodeGoOn(t *testing.T) {
	for _, landing := range landings(t) {
		histories, err := filepath.Glob(filepath.Join(landing, "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, histories, landing)
		for _, file := range histories {
			t.Run(filepath.Base(landing)+"/"+filepath.Base(file), func(t *testing.T) {
				require.NoError(t, replaytest.Replay(readHistory(t, file)))
			})
		}
	}
}

func TestEveryLandingHasHistoriesOfBothWorkflows(t *testing.T) {
	for _, landing := range landings(t) {
		for name, pattern := range map[string]string{
			workflows.ImportScrapingJobName:     "*-[0-9]*-*.json",
			workflows.ReconcileScrapingJobsName: "*-" + workflows.ReconcileScheduleID + "-*.json",
		} {
			histories, err := filepath.Glob(filepath.Join(landing, pattern))
			require.NoError(t, err)
			require.NotEmpty(t, histories, "%s of %s", name, landing)
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
