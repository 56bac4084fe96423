package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

// probeEvery is how often a worker without room takes a download anyway, which then
// reports why it waits.
const probeEvery = time.Minute

// DownloadSlots returns a slot supplier that polls for downloads only while the spool has
// room for one and a slot is free, and leaves the rest to other workers. Call Register
// first.
func (a *Activities) DownloadSlots() worker.SlotSupplier {
	return &roomySlots{slots: a.slots, hasRoom: a.Spool.hasRoom}
}

type roomySlots struct {
	slots   *slots
	hasRoom func() bool

	mu    sync.Mutex
	probe time.Time // when the next one is due
}

// ReserveSlot waits for a slot, then for room or the next probe; see
// [worker.SlotSupplier].
func (r *roomySlots) ReserveSlot(ctx context.Context, _ worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	if err := r.slots.awaitReservation(ctx); err != nil {
		return nil, err
	}
	for !r.mayTake(time.Now()) {
		select {
		case <-ctx.Done():
			r.slots.reserve(-1)
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return &worker.SlotPermit{}, nil
}

func (r *roomySlots) mayTake(now time.Time) bool {
	if r.hasRoom() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.probe) {
		return false
	}
	r.probe = now.Add(probeEvery)
	return true
}

// TryReserveSlot is for eager tasks, which a worker without workflows does not have.
func (*roomySlots) TryReserveSlot(worker.SlotReservationInfo) *worker.SlotPermit { return nil }

// MarkSlotUsed does nothing: the activity takes the slot itself.
func (*roomySlots) MarkSlotUsed(worker.SlotMarkUsedInfo) {}

// ReleaseSlot ends the reservation.
func (r *roomySlots) ReleaseSlot(worker.SlotReleaseInfo) { r.slots.reserve(-1) }

// MaxSlots is 0, unknown: when all slots are taken, nothing waits on this worker.
func (*roomySlots) MaxSlots() int { return 0 }
