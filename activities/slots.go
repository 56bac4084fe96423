package activities

import (
	"context"
	"slices"
	"sync"
	"time"
)

// patience is how long a download that any worker may take waits here for a slot.
// That of an import of a small job is free again within it.
const patience = time.Second

// slots bounds how many downloads and imports a worker runs at a time. Steps that
// need this worker wait for their turn inside the activity, with heartbeats, so that
// a busy worker is not taken for one that is gone. Imports go first: the spool is to
// become empty before it is filled further. A download that any worker may take is
// polled for with a slot reserved. Nil bounds nothing.
type slots struct {
	mu     sync.Mutex
	free   int
	queues [2][]*int // those who wait, the queue that goes first before the other
	// reserved counts the polls, and the tasks that they have brought, without a slot
	// yet. Imports take no heed of them.
	reserved int
	changed  chan struct{} // closed, and made anew, when somebody's turn may have come
}

const (
	queueOfImports = iota
	queueOfDownloads
)

func newSlots(n int) *slots { return &slots{free: n, changed: make(chan struct{})} }

// change makes a change, and has all look again who wait.
func (s *slots) change(change func()) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until its turn has come, which takes what it wants, or for ctx to end.
func (s *slots) await(ctx context.Context, turn func() bool) error {
	for s != nil {
		s.mu.Lock()
		taken, changed := turn(), s.changed
		s.mu.Unlock()
		if taken {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *slots) release() { s.change(func() { s.free++ }) }

// takeForDownload and takeForImport wait for a slot, or for ctx to end.
func (s *slots) takeForDownload(ctx context.Context) (func(), error) {
	return s.take(ctx, queueOfDownloads)
}
func (s *slots) takeForImport(ctx context.Context) (func(), error) {
	return s.take(ctx, queueOfImports)
}

func (s *slots) take(ctx context.Context, in int) (release func(), err error) {
	me := new(int)
	s.change(func() { s.queues[in] = append(s.queues[in], me) })
	defer s.change(func() { s.queues[in] = slices.DeleteFunc(s.queues[in], func(each *int) bool { return each == me }) })
	return s.release, s.await(ctx, func() bool {
		mine := s.free > 0 && slices.Concat(s.queues[:]...)[0] == me
		if mine {
			s.free--
		}
		return mine
	})
}

// takeReserved is for what was polled for with a reservation. It ends with
// errWorkerBusy if imports have taken the slots.
func (s *slots) takeReserved(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errWorkerBusy)
	defer cancel()
	taken, err := s.takeForDownload(ctx)
	if err != nil {
		return nil, err
	}
	s.reserve(-1)
	return func() { // while the poller still holds its permit
		s.reserve(1)
		taken()
	}, nil
}

// awaitReservation waits until a slot is free that is not reserved, or for ctx to
// end, and reserves it.
func (s *slots) awaitReservation(ctx context.Context) error {
	return s.await(ctx, func() bool {
		free := s.free > max(s.reserved, 0)
		if free {
			s.reserved++
		}
		return free
	})
}

// reserve adds to the reservations, or takes one back.
func (s *slots) reserve(n int) { s.change(func() { s.reserved += n }) }
