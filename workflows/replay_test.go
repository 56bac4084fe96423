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

// The histories were recorded from code that had landed, by
//
//	go test . -run 'TestNotificationBecomes' -record workflows/testdata/histories
//
// Imports that were begun by such code have to go on with this code. A history
// is never recorded again to make this test pass: a change of the process needs
// workflow.GetVersion.
func TestImportsBegunByLandedCodeGoOn(t *testing.T) {
	histories, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, histories)
	for _, file := range histories {
		t.Run(filepath.Base(file), func(t *testing.T) {
			history := readHistory(t, file)
			started := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflowWithOptions(workflows.ImportScrapingJob, workflow.RegisterOptions{Name: workflows.ImportScrapingJobName})
			// The workflow's ID is the job's.
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), history,
				worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{
					ID: started.GetWorkflowId(), RunID: started.GetOriginalExecutionRunId(),
				}}))
		})
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
