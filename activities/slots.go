package activities

import (
	"context"
	"slices"
	"sync"
	"time"
)

// patience is how long a download that any worker may take waits here for a slot. The
// import of a small job takes less.
const patience = time.Second

// slots limits how many downloads and imports a worker runs concurrently. Steps that need
// this worker wait inside the activity, with heartbeats, so that a busy worker does not
// look dead. Imports go first, to empty the spool before filling it further. The worker
// polls for downloads that any worker may take only with a slot reserved. Nil means no
// limit.
type slots struct {
	mu     sync.Mutex
	free   int
	queues [2][]*int // waiting imports, then waiting downloads
	// reserved counts polls, and the tasks they have received, that have no slot yet.
	// Imports ignore reservations.
	reserved int
	changed  chan struct{} // closed and replaced when the next one may proceed
}

const (
	queueOfImports = iota
	queueOfDownloads
)

func newSlots(n int) *slots { return &slots{free: n, changed: make(chan struct{})} }

// change makes a change and wakes all waiters.
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

// await waits until turn returns true or ctx ends. turn takes what it waits for.
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

// takeReserved takes the slot for a task received with a reservation. It returns
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

// awaitReservation waits for a free slot that is not reserved and reserves it, or returns
// an error when ctx ends.
func (s *slots) awaitReservation(ctx context.Context) error {
	return s.await(ctx, func() bool {
		free := s.free > max(s.reserved, 0)
		if free {
			s.reserved++
		}
		return free
	})
}

// reserve adds n to the reservations; n may be negative.
func (s *slots) reserve(n int) { s.change(func() { s.reserved += n }) }
