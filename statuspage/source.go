package statuspage

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// readTimeout limits how long a page waits for Temporal and PostgreSQL, which it reads
// concurrently.
const readTimeout = 8 * time.Second

// source is a server that the page reads, and since when it is unavailable.
type source struct {
	name   string
	logger *slog.Logger

	mu    sync.Mutex
	since time.Time // zero while it is available
}

// outage says that a source is unavailable.
type outage struct {
	Name  string
	Since time.Time // of the first failed attempt
}

// read makes one attempt to read the source, and returns an outage if it fails. The cause
// is logged once and not shown: it may name hosts.
func (s *source) read(ctx context.Context, attempt func(context.Context) error) *outage {
	start := time.Now()
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := attempt(reading)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil: // the client has left; the source may be fine
	case err == nil && !s.since.IsZero():
		s.logger.Info("Status page source available again", "source", s.name, "since", s.since)
		s.since = time.Time{}
	case err != nil && s.since.IsZero():
		s.since = start
		s.logger.Warn("Status page source unavailable", "source", s.name, "error", err)
	}
	if err == nil {
		return nil
	}
	since := s.since
	if since.IsZero() {
		since = start
	}
	return &outage{Name: s.name, Since: since}
}
