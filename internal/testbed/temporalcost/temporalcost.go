// Package temporalcost measures the cost of a workflow: the events of its history, and the
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

// Actions returns the Temporal Cloud Actions in a run's history, by
// https://docs.temporal.io/cloud/actions:
//
//   - each start of the workflow or a child workflow;
//   - each signal received or sent, so a SignalWithStart is two;
//   - each activity attempt: the history only has the number of the last one;
//   - each timer;
//   - each accepted update;
//   - each upsert of search attributes, except a version's;
//   - each marker of a side effect or a batch of local activities; version markers
//     cost nothing.
//
// An activity that no worker has started costs nothing. Heartbeats that reach the server
// and queries are Actions too, but are not in the history: see [Proxy].
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

// Proxy is between a worker and Temporal and counts the Actions that are not in a history.
// It costs a little time.
type Proxy struct {
	Address string // for the worker
	actions atomic.Int64
	calls   atomic.Int64
	server  *grpc.Server
}

// NewProxy starts a proxy to the client's server.
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

// Actions returns the number of heartbeats and query responses so far.
func (p *Proxy) Actions() int { return int(p.actions.Load()) }

// Calls returns the number of all requests so far: polls, completions and others.
func (p *Proxy) Calls() int { return int(p.calls.Load()) }

// Stop closes the proxy's connections.
func (p *Proxy) Stop() error {
	p.server.Stop()
	return nil
}
