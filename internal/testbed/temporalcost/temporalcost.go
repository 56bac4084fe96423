// Package temporalcost counts what a workflow costs: events of its history, and the
// Actions that Temporal Cloud bills.
package temporalcost

import (
	"context"
	"net"
	"sync/atomic"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
)

// History returns the events of a workflow's last run.
func History(ctx context.Context, temporal client.Client, workflowID string) (events []*historypb.HistoryEvent, err error) {
	pages := temporal.GetWorkflowHistory(ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for pages.HasNext() {
		event, err := pages.Next()
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

// Actions counts the Actions of Temporal Cloud that a run's history tells of, by https://docs.temporal.io/cloud/actions:
//
//   - the start of the workflow, by whatever means, and each child workflow's;
//   - each signal received or sent, so that a SignalWithStart is two;
//   - each attempt at an activity: the history has only the last one's number;
//   - each timer;
//   - each accepted update;
//   - each upsert of search attributes, but for that of a version;
//   - each side effect and each batch of local activities, which are markers, as
//     versions are, which cost nothing.
//
// An activity that no worker has taken has cost nothing. Heartbeats that reach
// the server and queries are Actions that no history has: see [Proxy].
func Actions(events []*historypb.HistoryEvent) (actions int) {
	for _, event := range events {
		switch event.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
			enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
			enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			enumspb.EVENT_TYPE_TIMER_STARTED:
			actions++
		case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			actions += int(event.GetActivityTaskStartedEventAttributes().GetAttempt())
		case enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
			fields := event.GetUpsertWorkflowSearchAttributesEventAttributes().GetSearchAttributes().GetIndexedFields()
			if _, ofVersion := fields["TemporalChangeVersion"]; !ofVersion {
				actions++
			}
		case enumspb.EVENT_TYPE_MARKER_RECORDED:
			if event.GetMarkerRecordedEventAttributes().GetMarkerName() != "Version" {
				actions++
			}
		}
	}
	return actions
}

// Proxy stands between a worker and Temporal and counts the Actions that leave no
// trace in a history. It costs a little time.
type Proxy struct {
	Address string // for the worker
	actions atomic.Int64
	calls   atomic.Int64
	server  *grpc.Server
}

// NewProxy serves what the client reaches, until it is stopped.
func NewProxy(temporal client.Client) (*Proxy, error) {
	p := new(Proxy)
	forward, err := proxy.NewWorkflowServiceProxyServer(proxy.WorkflowServiceProxyOptions{Client: temporal.WorkflowService()})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.Address = listener.Addr().String()
	p.server = grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			p.calls.Add(1)
			switch request.(type) {
			case *workflowservice.RecordActivityTaskHeartbeatRequest, *workflowservice.RespondQueryTaskCompletedRequest:
				p.actions.Add(1)
			}
			return handle(ctx, request)
		}))
	workflowservice.RegisterWorkflowServiceServer(p.server, forward)
	go func() { _ = p.server.Serve(listener) }() // ends with Stop
	return p, nil
}

// Actions are the heartbeats and the answers to queries so far.
func (p *Proxy) Actions() int { return int(p.actions.Load()) }

// Calls are all requests so far: polls, what was done, and others.
func (p *Proxy) Calls() int { return int(p.calls.Load()) }

// Stop closes the proxy's connections.
func (p *Proxy) Stop() error {
	p.server.Stop()
	return nil
}
