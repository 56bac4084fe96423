package activities

import (
	"context"
	"slices"
	"sync"
)

// slots bounds how many downloads and imports a worker runs at a time. They
// wait for their turn inside the activity, with heartbeats, so that a busy
// worker is not taken for one that is gone. Imports go first: the spool is to
// become empty before it is filled further. Nil bounds nothing.
type slots struct {
	mu        sync.Mutex
	free      int
	imports   []chan struct{}
	downloads []chan struct{}
}

func newSlots(n int) *slots { return &slots{free: n} }

// takeForDownload waits for a slot, or for ctx to end.
func (s *slots) takeForDownload(ctx context.Context) (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	return s.take(ctx, &s.downloads)
}

// takeForImport waits for a slot, or for ctx to end.
func (s *slots) takeForImport(ctx context.Context) (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	return s.take(ctx, &s.imports)
}

func (s *slots) take(ctx context.Context, queue *[]chan struct{}) (release func(), err error) {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return s.release, nil
	}
	turn := make(chan struct{})
	*queue = append(*queue, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return s.release, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(*queue, turn); at >= 0 {
		*queue = slices.Delete(*queue, at, at+1)
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
	for _, queue := range []*[]chan struct{}{&s.imports, &s.downloads} {
		if len(*queue) > 0 {
			close((*queue)[0])
			*queue = (*queue)[1:]
			return
		}
	}
	s.free++
}
