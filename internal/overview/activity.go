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
	// MaxAttempts is 0 while an attempt runs, or if it is unlimited.
	MaxAttempts int32 `json:"max_attempts,omitempty"`
	// StartedAt is when the current attempt started; nil while the activity waits for a
	// worker or for NextAttempt.
	StartedAt *time.Time `json:"started_at,omitempty"`
	// LastHeartbeat is when Heartbeat was sent; nil before the first heartbeat.
	LastHeartbeat *time.Time          `json:"last_heartbeat,omitempty"`
	Heartbeat     activities.Progress `json:"heartbeat,omitzero"`
	// NextAttempt is when another attempt starts after a failed one.
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
	// WorkerUntil is until when the activity waits for the one worker that has the file; nil
	// if it runs, or if any worker may take it.
	WorkerUntil *time.Time `json:"worker_until,omitempty"`
	// Paused is set if an operator paused the activity.
	Paused bool `json:"paused,omitempty"`
	// LastFailure is why the previous attempt failed.
	LastFailure string `json:"last_failure,omitempty"`
}

const (
	download   = "DownloadScrapingJob" // only a worker with a free slot and room in its spool takes it
	removeFile = "RemoveFile"          // only the import's end waits for it
)

// pendingActivity returns the activity that the import waits for.
func pendingActivity(pending []*workflowpb.PendingActivityInfo) *Activity {
	var chosen *workflowpb.PendingActivityInfo
	for _, each := range pending {
		if chosen == nil || chosen.GetActivityType().GetName() == removeFile {
			chosen = each
		}
	}
	if chosen == nil {
		return nil
	}
	a := &Activity{
		Name:          chosen.GetActivityType().GetName(),
		Attempt:       chosen.GetAttempt(),
		LastHeartbeat: instant(chosen.GetLastHeartbeatTime()),
		Paused:        chosen.GetPaused(),
		LastFailure:   sentence(chosen.GetLastFailure()),
	}
	switch last := instant(chosen.GetLastStartedTime()); {
	case chosen.GetLastAttemptCompleteTime() == nil, last != nil && last.After(chosen.GetLastAttemptCompleteTime().AsTime()):
		a.StartedAt = last
	default:
		a.NextAttempt = instant(chosen.GetNextAttemptScheduleTime())
		a.MaxAttempts = chosen.GetMaximumAttempts()
	}
	// Only steps on a worker's own task queue have this timeout.
	if wait := chosen.GetActivityOptions().GetScheduleToStartTimeout().AsDuration(); a.StartedAt == nil && a.NextAttempt == nil && wait > 0 {
		until := chosen.GetScheduledTime().AsTime().Add(wait)
		a.WorkerUntil = &until
	}
	// Ignore heartbeats of another form.
	if err := converter.GetDefaultDataConverter().FromPayloads(chosen.GetHeartbeatDetails(), &a.Heartbeat); err != nil {
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

// sentence describes the failure, "" for none.
func sentence(failure *failurepb.Failure) string {
	if failure == nil {
		return ""
	}
	return workflows.Sentence(temporal.GetDefaultFailureConverter().FailureToError(failure))
}
