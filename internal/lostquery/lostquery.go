// Package lostquery retries workflow queries whose answers the Temporal server lost.
//
// The server hands a query to a worker before it is ready to accept the answer
// (QueryWorkflow in service/matching/matching_engine.go, as of 1.29). If the worker is
// faster, as happens on a busy machine, its answer is refused with "query task not found,
// or already expired", and the caller waits until the deadline. Descriptions of schedules
// are queries too.
package lostquery

import (
	"context"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Retry returns an option for a Temporal client's connection
// (client.ConnectionOptions.DialOptions) that sends an unanswered query a second and a
// third time within its deadline. The first attempt gets a sixth of the time, the second a
// third and the last a half: a worker that must replay a long history first needs longer.
func Retry() grpc.DialOption { return grpc.WithChainUnaryInterceptor(retry) }

func retry(
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

// unanswered reports whether a query ended because of its deadline. The server may end it,
// or close the connection, before the client's deadline, after as little as half the time.
func unanswered(err error) bool {
	switch serviceerror.ToStatus(err).Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return false
	}
}
