package statuspage

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// readWithin bounds what a page waits for Temporal and PostgreSQL, which it
// reads side by side.
const readWithin = 8 * time.Second

// source is a server that the page reads, and since when it cannot.
type source struct {
	name   string
	logger *slog.Logger

	mu    sync.Mutex
	since time.Time // zero while it can be read
}

// outage says that a source cannot be read.
type outage struct {
	Name  string
	Since time.Time // of the first attempt that failed
}

// read runs one attempt to read the source, and returns an outage if it fails.
// The cause is for the log, once: it may name hosts.
func (s *source) read(ctx context.Context, attempt func(context.Context) error) *outage {
	began := time.Now()
	reading, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	err := attempt(reading)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil: // whoever asked has gone, which says nothing of the source
	case err == nil && !s.since.IsZero():
		s.logger.Info("The status page reads "+s.name+" again", "since", s.since)
		s.since = time.Time{}
	case err != nil && s.since.IsZero():
		s.since = began
		s.logger.Warn("The status page cannot read "+s.name, "error", err)
	}
	if err == nil {
		return nil
	}
	since := s.since
	if since.IsZero() {
		since = began
	}
	return &outage{Name: s.name, Since: since}
}
