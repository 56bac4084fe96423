package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
)

const (
	refreshEvery = time.Second
	// queryTimeout limits a query: without a worker, nothing answers it.
	queryTimeout = 3 * time.Second
	drawEvery    = 200 * time.Millisecond
	// maxOutage is how long Temporal may be unreachable before following stops.
	maxOutage = time.Minute
)

// followImport shows a progress bar until the import ends or waits, or ctx ends, and
// returns the import's last known state.
func followImport(ctx context.Context, reader *overview.Reader, seen overview.Import, streams program.Streams) (overview.Import, error) {
	lastSeen := time.Now()
	err := follow(ctx, streams, func(now time.Time) scene { return sceneOf(seen, now) }, func() (over bool, err error) {
		now, err := reader.Import(ctx, seen.ScrapingJobID)
		switch {
		case err == nil:
			seen, lastSeen = now, time.Now()
		case ctx.Err() == nil && (errors.Is(err, overview.ErrNotFound) || time.Since(lastSeen) > maxOutage):
			return true, err
		}
		return settled(seen), nil
	})
	return seen, err
}

type scene struct {
	step, state string
	amount      overview.Amount
}

func sceneOf(i overview.Import, now time.Time) scene {
	amount, state, ok := i.Estimate(now)
	if !ok {
		state = plain(i.Next().In(now))
	}
	return scene{i.Step(), state, amount}
}

// follow draws what see returns until refresh reports the end, or ctx ends.
func follow(ctx context.Context, streams program.Streams, see func(now time.Time) scene, refresh func() (over bool, err error)) error {
	line := progressLine{out: streams.Err}
	if line.terminal = streams.Terminal(); line.terminal != nil {
		line.out = line.terminal
		defer fmt.Fprint(line.out, eraseLine)
	}
	refreshes, draw := time.NewTicker(refreshEvery), time.NewTicker(drawEvery)
	defer refreshes.Stop()
	defer draw.Stop()
	for {
		now := time.Now()
		line.draw(see(now), now)
		select {
		case <-ctx.Done():
			return nil
		case <-draw.C:
			continue
		case <-refreshes.C:
		}
		if over, err := refresh(); over || err != nil {
			return err
		}
	}
}

// followRun follows a workflow until it has ended, stores its result in result, and returns
// its error.
func followRun(ctx context.Context, streams program.Streams, run client.WorkflowRun, result any, see func(now time.Time) scene, refresh func(context.Context)) error {
	ended := make(chan error, 1)
	go func() { ended <- run.Get(ctx, result) }()
	return follow(ctx, streams, see, func() (bool, error) {
		select {
		case err := <-ended:
			return true, err
		default:
			refresh(ctx)
			return false, nil
		}
	})
}

const (
	barWidth  = 30
	eraseLine = "\r\x1b[K"
)

// progressLine is one line of the terminal: the step, a bar and the progress. Each new step
// also prints a line above it. Without a terminal, only those lines are printed.
type progressLine struct {
	out      io.Writer
	terminal *os.File
	step     string // drawn last
}

func (p *progressLine) draw(s scene, now time.Time) {
	if s.step != p.step {
		if p.terminal != nil {
			fmt.Fprint(p.out, eraseLine)
		}
		fmt.Fprintf(p.out, "%s  %s\n", now.Format(time.TimeOnly), s.step)
		p.step = s.step
	}
	if p.terminal == nil {
		return
	}
	done := 0
	if s.amount.Of > 0 {
		done = int((barWidth - 1) * s.amount.Done / s.amount.Of)
	}
	line := []rune(fmt.Sprintf("%s [%s>%s] %s", p.step, strings.Repeat("=", done), strings.Repeat("-", barWidth-1-done), s.state))
	if width, err := program.TerminalWidth(p.terminal); err == nil {
		line = line[:min(len(line), max(width-1, 0))] // eraseLine cannot erase a wrapped line
	}
	fmt.Fprint(p.out, eraseLine+string(line))
}
