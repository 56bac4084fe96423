package scrapehaul

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

// probeEvery is how often a worker without room takes a task all the same: it may
// be a call that needs none, and a download says why it waits.
const probeEvery = time.Minute

// slotsOfAWorker is the SDK's own default.
const slotsOfAWorker = 1000

// leaveToRoomierWorkers has a worker take tasks only while the spool has room.
func leaveToRoomierWorkers(options *worker.Options, hasRoom func() bool) error {
	slots, err := worker.NewFixedSizeSlotSupplier(slotsOfAWorker)
	if err != nil {
		return err
	}
	options.Tuner, err = worker.NewCompositeTuner(worker.CompositeTunerOptions{
		ActivitySlotSupplier: &roomySlots{SlotSupplier: slots, hasRoom: hasRoom},
		WorkflowSlotSupplier: slots, LocalActivitySlotSupplier: slots, NexusSlotSupplier: slots, SessionActivitySlotSupplier: slots, // without use
	})
	return err
}

// roomySlots are the slots of a worker that takes downloads. While its spool has no
// room, a download would fail at once, so that the worker were the first to be free
// for the next: it leaves them to workers that have room.
type roomySlots struct {
	worker.SlotSupplier
	hasRoom func() bool

	mu    sync.Mutex
	probe time.Time // when the next one is due
}

// ReserveSlot waits for room, or for the time of a probe; see [worker.SlotSupplier].
func (s *roomySlots) ReserveSlot(ctx context.Context, info worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	for !s.mayTake(time.Now()) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return s.SlotSupplier.ReserveSlot(ctx, info)
}

func (s *roomySlots) mayTake(now time.Time) bool {
	if s.hasRoom() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.probe) {
		return false
	}
	s.probe = now.Add(probeEvery)
	return true
}
