package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// deliver runs the workflow; delivering is called in place of the activity.
func deliver(t *testing.T, delivering func(env *testsuite.TestWorkflowEnvironment, n int)) (env *testsuite.TestWorkflowEnvironment, calls int) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env = suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	env.RegisterActivityWithOptions(func(_ context.Context, sitemapName string) error {
		calls++
		require.Equal(t, "prices", sitemapName)
		delivering(env, calls)
		return nil
	}, activity.RegisterOptions{Name: "DeliverPublications"})
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(activities.PublicationSignal, nil) }, 0)
	env.ExecuteWorkflow(activities.DeliverPublicationsName, "prices")
	require.True(t, env.IsWorkflowCompleted())
	return env, calls
}

func TestDeliveryRunsOnceForEarlierPublications(t *testing.T) {
	env, calls := deliver(t, func(*testsuite.TestWorkflowEnvironment, int) {})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 1, calls)
}

func TestDeliveryRunsAgainForNewPublications(t *testing.T) {
	env, calls := deliver(t, func(env *testsuite.TestWorkflowEnvironment, n int) {
		for range 3 - n {
			env.SignalWorkflow(activities.PublicationSignal, nil)
		}
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, calls)
}

func TestDeliveryOfManyPublicationsKeepsItsHistoryShort(t *testing.T) {
	env, calls := deliver(t, func(env *testsuite.TestWorkflowEnvironment, _ int) {
		env.SetContinueAsNewSuggested(true)
		env.SignalWorkflow(activities.PublicationSignal, nil)
	})
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &again)
	require.Equal(t, activities.DeliverPublicationsName, again.WorkflowType.Name)
	require.Equal(t, 1, calls)
}

func TestPanicInTheDeliveryDoesNotEndIt(t *testing.T) {
	env, calls := deliver(t, func(_ *testsuite.TestWorkflowEnvironment, n int) {
		if n < 5 {
			panic("a nil pointer, say")
		}
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 5, calls)
}
