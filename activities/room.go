package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

// probeEvery is how often a worker without room takes a download all the same, which
// then says why it waits.
const probeEvery = time.Minute

// DownloadSlots has a worker poll for downloads only while the spool has room for
// one and a slot is free, so that the others are left to other workers. Register has
// to be called before.
func (a *Activities) DownloadSlots() worker.SlotSupplier {
	return &roomySlots{slots: a.slots, hasRoom: a.Spool.hasRoom}
}

type roomySlots struct {
	slots   *slots
	hasRoom func() bool

	mu    sync.Mutex
	probe time.Time // when the next one is due
}

// ReserveSlot waits for a slot, and for room or the time of a probe; see
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

// TryReserveSlot is for eager tasks, of which a worker without workflows has none.
func (*roomySlots) TryReserveSlot(worker.SlotReservationInfo) *worker.SlotPermit { return nil }

// MarkSlotUsed has nothing to do: the activity takes the slot itself.
func (*roomySlots) MarkSlotUsed(worker.SlotMarkUsedInfo) {}

// ReleaseSlot ends the reservation.
func (r *roomySlots) ReleaseSlot(worker.SlotReleaseInfo) { r.slots.reserve(-1) }

// MaxSlots is unknown: when all slots are taken, nothing waits on this worker.
func (*roomySlots) MaxSlots() int { return 0 }
