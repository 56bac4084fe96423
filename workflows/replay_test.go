package workflows_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// landings are the folders of histories, each recorded from code that had
// landed: its day and its commit.
func landings(t *testing.T) []string {
	t.Helper()
	folders, err := filepath.Glob("testdata/histories/*-*-*-*")
	require.NoError(t, err)
	return folders
}

// Workflows that were begun by landed code have to go on with this code.
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
				history := readHistory(t, file)
				started := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
				replayer := worker.NewWorkflowReplayer()
				replayer.RegisterWorkflowWithOptions(workflows.ImportScrapingJob, workflow.RegisterOptions{Name: workflows.ImportScrapingJobName})
				replayer.RegisterWorkflowWithOptions(workflows.ReconcileScrapingJobs, workflow.RegisterOptions{Name: workflows.ReconcileScrapingJobsName})
				// The workflow's ID is the job's.
				require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), history,
					worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{
						ID: started.GetWorkflowId(), RunID: started.GetOriginalExecutionRunId(),
					}}))
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
