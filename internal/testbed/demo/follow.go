package main

import (
	"context"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/overview"
)

// follow prints what imports do, until ctx ends. During an outage of Temporal it prints
// nothing.
func (d *demo) follow(ctx context.Context) {
	reader := overview.Reader{Temporal: d.Temporal.Client()}
	last := map[int64]string{} // of the open imports
	for first := true; ; first = false {
		open, _, err := reader.Open(ctx, 100, nil)
		now := map[int64]string{}
		for _, i := range open {
			if i.ProgressKnown {
				now[i.ScrapingJobID] = doing(i)
			}
			if says := now[i.ScrapingJobID]; says != last[i.ScrapingJobID] && says != "" && !first {
				d.servers.Progress(says)
			}
		}
		for id, says := range last {
			if _, isOpen := now[id]; isOpen || err != nil {
				continue
			}
			ended, endErr := reader.Import(ctx, id)
			switch {
			case endErr != nil || ended.Open:
				now[id] = says // asked again
			case ended.Result != nil:
				d.servers.Progress(fmt.Sprintf("%s: %s", heading(ended), ended.Result.Outcome))
			default:
				d.servers.Progress(fmt.Sprintf("%s: %s", heading(ended), ended.Step()))
			}
		}
		if err == nil {
			last = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func heading(i overview.Import) string {
	return fmt.Sprintf("Job %d of %s", i.ScrapingJobID, i.Sitemap())
}

func doing(i overview.Import) string {
	if i.NeedsAttention() {
		return fmt.Sprintf("%s needs attention: %s", heading(i), i.Progress.Attention)
	}
	if i.Activity != nil && i.Activity.LastFailure != "" {
		return fmt.Sprintf("%s: %s, attempt %d; before: %s", heading(i), i.Step(), i.Activity.Attempt, i.Activity.LastFailure)
	}
	return fmt.Sprintf("%s: %s", heading(i), i.Step())
}
