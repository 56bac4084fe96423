package temporaltest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
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

func TestRestartedServerKeepsItsWorkflows(t *testing.T) {
	server := temporaltest.NewServer(t)
	_, err := server.Client.ExecuteWorkflow(t.Context(),
		client.StartWorkflowOptions{ID: "1234", TaskQueue: "without a worker"}, "ImportScrapingJob")
	require.NoError(t, err)
	server.Stop()
	server.Start()
	_, err = server.Client.DescribeWorkflowExecution(t.Context(), "1234", "")
	require.NoError(t, err)
}
