package statuspage

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/overview"
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

// paces remember how fast imports go from one look at the page to the next.
type paces struct {
	mu   sync.Mutex
	runs map[string]*seenPace
}

type seenPace struct {
	overview.Pace
	looked time.Time
}

// forgetPaceAfter is how long after the last look a speed says nothing any more.
const forgetPaceAfter = 10 * time.Minute

// look takes note of the import and returns what its speed is estimated to be.
func (p *paces) look(i overview.Import, now time.Time) overview.Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs == nil {
		p.runs = map[string]*seenPace{}
	}
	for run, seen := range p.runs {
		if now.Sub(seen.looked) > forgetPaceAfter {
			delete(p.runs, run)
		}
	}
	seen := p.runs[i.RunID]
	if seen == nil {
		seen = new(seenPace)
		p.runs[i.RunID] = seen
	}
	seen.Look(i)
	seen.looked = now
	return seen.Pace
}
