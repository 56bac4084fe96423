package webscrapertest

import (
	"context"
	"net/url"
	"sync"
	"time"
)

// Timeline is how long a job stays in each status before its end: "failed" if more than
// half of its Pages failed, else "finished". Its records and counters grow while it is
// started. Time is by the cloud's clock, see [Options]; [Cloud.Run] sends the webhook at
// the end.
type Timeline struct {
	WaitingToBeScheduled time.Duration
	Scheduling           time.Duration
	Scheduled            time.Duration
	Started              time.Duration
}

func (t Timeline) set() bool { return t != Timeline{} }

// advance updates a job to where its timeline is now.
func (j *job) advance(now time.Time) {
	if !j.running {
		return
	}
	elapsed := now.Sub(j.began)
	for _, stay := range []struct {
		status string
		length time.Duration
	}{
		{statusWaitingToBeScheduled, j.Timeline.WaitingToBeScheduled},
		{statusScheduling, j.Timeline.Scheduling},
		{statusScheduled, j.Timeline.Scheduled},
		{statusStarted, j.Timeline.Started},
	} {
		if elapsed < stay.length {
			j.Status = stay.status
			if stay.status == statusStarted {
				j.scraped = float64(elapsed) / float64(stay.length)
				j.ScrapingDuration = elapsed
			}
			return
		}
		elapsed -= stay.length
	}
	ends := statusFinished
	if j.continued == nil && 2*j.Pages.Failed > j.Pages.Executed {
		ends = statusFailed
	}
	j.setStatus(ends)
	j.ScrapingDuration = j.Timeline.Started
	j.unannounced = j.form()
}

// Run sends the webhook of each job whose [Timeline] ends. It returns after the context is
// done and the notifications in flight are settled. Jobs without a timeline do not need
// it. [NewServer] calls it.
func (c *Cloud) Run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, account := range c.all() {
			for id, form := range account.takeUnannounced() {
				sending.Go(func() {
					// The outcome is in the log, and known to the receiver.
					_, _ = account.deliver(ctx, id, form)
				})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// takeUnannounced returns the webhooks to send, by job, if there is a webhook URL.
func (c *Cloud) takeUnannounced() map[int64]url.Values {
	c.mu.Lock()
	defer c.mu.Unlock()
	forms := make(map[int64]url.Values)
	now := c.options.Clock()
	for id, j := range c.jobs {
		j.advance(now)
		if j.unannounced != nil && c.webhookURL != "" && !j.deleted {
			forms[id] = j.unannounced
		}
		j.unannounced = nil
	}
	return forms
}
