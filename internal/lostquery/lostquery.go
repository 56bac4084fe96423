// Package lostquery gets answers from workflows although the Temporal server
// loses some.
//
// The server hands a query to a worker before it is ready to take the answer
// (QueryWorkflow in service/matching/matching_engine.go, as of 1.29). When the
// worker is faster, as happens on a busy machine, its answer is refused with
// "query task not found, or already expired", and who has asked waits in vain
// until the deadline. Descriptions of schedules are queries too.
package lostquery

import (
	"context"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// AskAgain is an option of a Temporal client's connection
// (client.ConnectionOptions.DialOptions) that asks a second and a third time
// within a query's deadline when no answer comes. The first time gets a sixth
// of it, the second a third and the last a half: a worker that has to replay a
// long history first needs longer.
func AskAgain() grpc.DialOption { return grpc.WithChainUnaryInterceptor(askAgain) }

func askAgain(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	deadline, has := ctx.Deadline()
	isQuery := method == workflowservice.WorkflowService_QueryWorkflow_FullMethodName ||
		method == workflowservice.WorkflowService_DescribeSchedule_FullMethodName
	if isQuery && has {
		left := time.Until(deadline)
		for _, remaining := range []time.Duration{left * 5 / 6, left / 2} {
			asking, stop := context.WithDeadline(ctx, deadline.Add(-remaining))
			err := invoke(asking, method, request, reply, connection, options...)
			stop()
			if err == nil || !unanswered(err) || ctx.Err() != nil {
				return err
			}
		}
	}
	return invoke(ctx, method, request, reply, connection, options...)
}

// unanswered tells that a query has ended because of its deadline: the server
// ends it, or hangs up, before the context here does, by as much as a half.
func unanswered(err error) bool {
	switch serviceerror.ToStatus(err).Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return false
	}
}
