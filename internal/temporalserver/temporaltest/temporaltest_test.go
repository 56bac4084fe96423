package temporaltest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/temporalserver/temporaltest"
)

func TestTestsShareAServerButNoWorkflows(t *testing.T) {
	first, second := temporaltest.NewNamespace(t), temporaltest.NewNamespace(t)
	require.Equal(t, first.HostPort, second.HostPort)

	options := client.StartWorkflowOptions{
		ID:                                       "1234",
		TaskQueue:                                "without a worker",
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}
	for _, namespace := range []temporaltest.Namespace{first, second} {
		_, err := namespace.Client.ExecuteWorkflow(t.Context(), options, "ImportScrapingJob")
		require.NoError(t, err)
	}
	_, err := first.Client.ExecuteWorkflow(t.Context(), options, "ImportScrapingJob")
	require.Error(t, err)
}
