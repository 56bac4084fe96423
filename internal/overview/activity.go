package overview

import (
	"time"

	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Activity is a pending activity of an import.
type Activity struct {
	Name    string `json:"name"`
	Attempt int32  `json:"attempt"`
	// StartedAt is when the attempt under way began; nil while none is: the
	// activity waits for a worker, or for NextAttempt.
	StartedAt *time.Time `json:"started_at,omitempty"`
	// LastHeartbeat is when Heartbeat was told; nil when nothing was told yet.
	LastHeartbeat *time.Time          `json:"last_heartbeat,omitempty"`
	Heartbeat     activities.Progress `json:"heartbeat,omitzero"`
	// NextAttempt is when another attempt begins after a failed one.
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	// Paused is set when somebody has paused the activity.
	Paused bool `json:"paused,omitempty"`
	// LastFailure is why the attempt before failed.
	LastFailure string `json:"last_failure,omitempty"`
}

const (
	download   = "DownloadScrapingJob" // only a worker with a slot and room in its spool takes it
	removeFile = "RemoveFile"          // nothing waits for it but the import's end
)

// pendingActivity picks the one that the import waits for.
func pendingActivity(pending []*workflowpb.PendingActivityInfo) *Activity {
	var matters *workflowpb.PendingActivityInfo
	for _, each := range pending {
		if matters == nil || matters.GetActivityType().GetName() == removeFile {
			matters = each
		}
	}
	if matters == nil {
		return nil
	}
	a := &Activity{
		Name:          matters.GetActivityType().GetName(),
		Attempt:       matters.GetAttempt(),
		LastHeartbeat: instant(matters.GetLastHeartbeatTime()),
		Paused:        matters.GetPaused(),
		LastFailure:   sentence(matters.GetLastFailure()),
	}
	switch last := instant(matters.GetLastStartedTime()); {
	case matters.GetLastAttemptCompleteTime() == nil, last != nil && last.After(matters.GetLastAttemptCompleteTime().AsTime()):
		a.StartedAt = last
	default:
		a.NextAttempt = instant(matters.GetNextAttemptScheduleTime())
	}
	// A heartbeat of another form is none of ours.
	if err := converter.GetDefaultDataConverter().FromPayloads(matters.GetHeartbeatDetails(), &a.Heartbeat); err != nil {
		a.Heartbeat = activities.Progress{}
	}
	return a
}

func instant(t *timestamppb.Timestamp) *time.Time {
	if t == nil || t.GetSeconds() <= 0 {
		return nil
	}
	at := t.AsTime()
	return &at
}

// sentence says what went wrong, "" if nothing did.
func sentence(failure *failurepb.Failure) string {
	if failure == nil {
		return ""
	}
	return workflows.Sentence(temporal.GetDefaultFailureConverter().FailureToError(failure))
}
