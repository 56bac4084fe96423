package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
)

const (
	lookEvery = time.Second
	drawEvery = 200 * time.Millisecond
	// giveUpAfter is how long Temporal may be away meanwhile.
	giveUpAfter = time.Minute
)

// follow shows a progress bar until the import ends, waits, or ctx ends, and
// returns what was seen last.
func follow(ctx context.Context, reader *overview.Reader, seen overview.Import, streams program.Streams) (overview.Import, error) {
	bar := newProgressBar(streams)
	defer bar.remove()
	look, draw := time.NewTicker(lookEvery), time.NewTicker(drawEvery)
	defer look.Stop()
	defer draw.Stop()
	lastSeen := time.Now()
	for !settled(seen) {
		bar.draw(seen, time.Now())
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

// progressBar is one line of the terminal: what the import is doing, a bar, and
// how much is done.
type progressBar struct {
	container   *mpb.Progress
	bar         *mpb.Bar
	step, state atomic.Pointer[string]
	drawn       string // the step drawn last
}

func newProgressBar(streams program.Streams) *progressBar {
	b := &progressBar{container: mpb.New(mpb.WithOutput(streams.Out), mpb.WithRefreshRate(drawEvery))}
	text := func(from *atomic.Pointer[string]) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			if s := from.Load(); s != nil {
				return *s
			}
			return ""
		})
	}
	style := mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding("-").Rbound("]")
	b.bar = b.container.New(0, style, mpb.BarWidth(30),
		mpb.PrependDecorators(text(&b.step)), mpb.AppendDecorators(text(&b.state)))
	return b
}

// draw shows what is known now. Each new step leaves a line above the bar.
func (b *progressBar) draw(i overview.Import, now time.Time) {
	step := i.Step()
	amount, state, ok := i.Estimate(now)
	if !ok {
		state = plain(i.Next().In(now))
	}
	if step != b.drawn {
		fmt.Fprintf(b.container, "%s  %s\n", now.Format(time.TimeOnly), step)
		b.drawn = step
	}
	b.step.Store(&step)
	b.state.Store(&state)
	b.bar.SetTotal(amount.Of, false)
	b.bar.SetCurrent(amount.Done)
}

// remove takes the bar off the terminal.
func (b *progressBar) remove() {
	b.bar.Abort(true)
	b.container.Wait()
}
