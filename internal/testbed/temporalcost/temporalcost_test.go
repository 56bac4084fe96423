package temporalcost_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
)

func TestActionsOfAnImport(t *testing.T) {
	events := []*historypb.HistoryEvent{
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED},
		{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED},
	}
	for range 3 {
		events = append(events, &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED},
			&historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED}, started(1))
	}
	require.Equal(t, 5, temporalcost.Actions(events), "a start, a signal, three activities")
}

func started(attempt int32) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED,
		Attributes: &historypb.HistoryEvent_ActivityTaskStartedEventAttributes{
			ActivityTaskStartedEventAttributes: &historypb.ActivityTaskStartedEventAttributes{Attempt: attempt},
		},
	}
}

func TestEveryAttemptIsAnAction(t *testing.T) {
	require.Equal(t, 3, temporalcost.Actions([]*historypb.HistoryEvent{{EventType: enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED}, started(3)}))
}
