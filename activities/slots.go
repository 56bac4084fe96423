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
	queues [2][]chan struct{} // those who wait, the queue that goes first before the other
	// reserved counts the polls, and the tasks that they have brought, without a slot
	// yet. Imports take no heed of them.
	reserved int
	changed  chan struct{} // closed when there may be a slot to reserve; nil while nobody waits
}

const (
	queueOfImports = iota
	queueOfDownloads
)

func newSlots(n int) *slots { return &slots{free: n} }

// takeForDownload waits for a slot, or for ctx to end.
func (s *slots) takeForDownload(ctx context.Context) (release func(), err error) {
	return s.take(ctx, queueOfDownloads)
}

// takeForImport waits for a slot, or for ctx to end.
func (s *slots) takeForImport(ctx context.Context) (release func(), err error) {
	return s.take(ctx, queueOfImports)
}

// takeReserved is for what was polled for with a reservation. It ends with
// errWorkerBusy if imports have taken the slots.
func (s *slots) takeReserved(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errWorkerBusy)
	defer cancel()
	pass, err := s.take(ctx, queueOfDownloads)
	if err != nil {
		return nil, err
	}
	s.reserve(-1)
	return func() { // while the poller still holds its permit
		s.reserve(1)
		pass()
	}, nil
}

func (s *slots) take(ctx context.Context, in int) (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return s.release, nil
	}
	turn := make(chan struct{})
	s.queues[in] = append(s.queues[in], turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return s.release, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(s.queues[in], turn); at >= 0 {
		s.queues[in] = slices.Delete(s.queues[in], at, at+1)
	} else {
		s.pass() // the turn came at the same time
	}
	return nil, context.Cause(ctx)
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass()
}

// pass gives a slot to whoever is next.
func (s *slots) pass() {
	for in, queue := range s.queues {
		if len(queue) > 0 {
			close(queue[0])
			s.queues[in] = queue[1:]
			return
		}
	}
	s.free++
	s.wake()
}

// awaitReservation waits until a slot is free that is not reserved, or for ctx to
// end, and reserves it.
func (s *slots) awaitReservation(ctx context.Context) error {
	if s == nil {
		return nil
	}
	for {
		s.mu.Lock()
		if s.free > max(s.reserved, 0) {
			s.reserved++
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reserve adds to the reservations, or takes one back.
func (s *slots) reserve(n int) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved += n
	s.wake()
}

func (s *slots) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
