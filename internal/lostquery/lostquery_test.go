package lostquery_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/scrapehaul/scrapehaul/internal/lostquery"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
)

// queries counts the worker's answers, and how many more get lost.
type queries struct{ answered, lost atomic.Int64 }

// losing runs a workflow whose worker's first answers do not reach Temporal, and returns a
// client that retries.
func losing(t *testing.T, lost int64) (asking client.Client, id string, q *queries) {
	t.Helper()
	namespace := temporaltest.NewNamespace(t)
	dial := func(option grpc.DialOption) client.Client {
		c, err := client.DialContext(t.Context(), client.Options{
			HostPort: namespace.HostPort, Namespace: namespace.Name,
			ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{option}},
		})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	q = &queries{}
	q.lost.Store(lost)
	answering := dial(grpc.WithChainUnaryInterceptor(func(
		ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if method == workflowservice.WorkflowService_RespondQueryTaskCompleted_FullMethodName {
			q.answered.Add(1)
			if q.lost.Add(-1) >= 0 {
				return nil
			}
		}
		return invoke(ctx, method, request, reply, connection, options...)
	}))
	w := worker.New(answering, t.Name(), worker.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		err := workflow.SetQueryHandler(ctx, "weather", func() (string, error) { return "fine", nil })
		workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
		return err
	}, workflow.RegisterOptions{Name: "Weather"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	asking = dial(lostquery.Retry())
	run, err := asking.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: t.Name()}, "Weather")
	require.NoError(t, err)
	require.Eventually(t, func() bool { // before the first workflow task completes, it answers queries
		described, err := asking.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
		return err == nil && described.GetWorkflowExecutionInfo().GetHistoryLength() >= 4
	}, time.Minute, 10*time.Millisecond)
	return asking, run.GetID(), q
}

func TestQueryWithALostAnswerIsRetried(t *testing.T) {
	t.Parallel()
	asking, id, q := losing(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	answer, err := asking.QueryWorkflow(ctx, id, "", "weather")
	require.NoError(t, err)
	var weather string
	require.NoError(t, answer.Get(&weather))
	require.Equal(t, "fine", weather)
	require.Equal(t, int64(3), q.answered.Load())
}

func TestUnansweredQueryEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	asking, id, q := losing(t, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	_, err := asking.QueryWorkflow(ctx, id, "", "weather")
	require.Contains(t, []codes.Code{codes.DeadlineExceeded, codes.Canceled}, serviceerror.ToStatus(err).Code(), "%v", err)
	require.Equal(t, int64(3), q.answered.Load())
}

func TestFailedQueryIsNotRetried(t *testing.T) {
	t.Parallel()
	asking, id, q := losing(t, 0)
	_, err := asking.QueryWorkflow(t.Context(), id, "", "time")
	var failed *serviceerror.QueryFailed
	require.ErrorAs(t, err, &failed)
	require.Equal(t, int64(1), q.answered.Load())
}
