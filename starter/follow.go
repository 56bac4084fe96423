package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/scrapehaul/scrapehaul/internal/overview"
)

const (
	lookEvery = time.Second
	drawEvery = 200 * time.Millisecond
	// giveUpAfter is how long Temporal may be away meanwhile.
	giveUpAfter = time.Minute
)

// follow shows a progress bar until the import ends, waits, or ctx ends, and
// returns what was seen last.
func follow(ctx context.Context, reader *overview.Reader, seen overview.Import, terminal *os.File) (overview.Import, error) {
	line := progressLine{terminal: terminal}
	defer fmt.Fprint(terminal, eraseLine)
	look, draw := time.NewTicker(lookEvery), time.NewTicker(drawEvery)
	defer look.Stop()
	defer draw.Stop()
	lastSeen := time.Now()
	for !settled(seen) {
		line.draw(seen, time.Now())
		select {
		case <-ctx.Done():
			return seen, nil
		case <-draw.C:
			continue
		case <-look.C:
		}
		now, err := reader.Import(ctx, seen.ScrapingJobID)
		switch {
		case err == nil:
			seen, lastSeen = now, time.Now()
		case ctx.Err() != nil:
			return seen, nil
		case errors.Is(err, overview.ErrNotFound), time.Since(lastSeen) > giveUpAfter:
			return seen, err
		}
	}
	return seen, nil
}

const (
	barWidth  = 30
	eraseLine = "\r\x1b[K"
)

// progressLine is one line of the terminal: what the import is doing, a bar, and
// how much is done.
type progressLine struct {
	terminal *os.File
	step     string // drawn last
}

// draw shows what is known now. Each new step leaves a line above.
func (p *progressLine) draw(i overview.Import, now time.Time) {
	if step := i.Step(); step != p.step {
		fmt.Fprintf(p.terminal, "%s%s  %s\n", eraseLine, now.Format(time.TimeOnly), step)
		p.step = step
	}
	amount, state, ok := i.Estimate(now)
	if !ok {
		state = plain(i.Next().In(now))
	}
	done := 0
	if amount.Of > 0 {
		done = int((barWidth - 1) * amount.Done / amount.Of)
	}
	line := []rune(fmt.Sprintf("%s [%s>%s] %s", p.step, strings.Repeat("=", done), strings.Repeat("-", barWidth-1-done), state))
	if width, _, err := term.GetSize(int(p.terminal.Fd())); err == nil {
		line = line[:min(len(line), max(width-1, 0))] // one that wraps could not be erased
	}
	fmt.Fprint(p.terminal, eraseLine+string(line))
}
