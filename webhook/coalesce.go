package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// signalEvery is the minimum interval between two signals to a scraping job.
const signalEvery = time.Second

// coalescing lets notifications of the same scraping job share signals. The first one is
// signaled immediately; those that arrive while a signal is being sent, or within
// signalEvery of it, share the next one. A notification never shares a signal that was
// started before it arrived: the workflow may have checked the job already.
type coalescing struct {
	notify notify

	mu sync.Mutex
	// next has an entry for each job for which send runs: the signal that new
	// notifications share, nil if there are none yet.
	next map[jobOf]*sharedSignal
}

// jobOf is a scraping job as reported by an account.
type jobOf struct {
	account string
	id      int64
}

type notify func(context.Context, workflows.Notification, workflows.Settings) (client.WorkflowRun, error)

// sharedSignal has the content of the last notification, and the result for all of them.
type sharedSignal struct {
	ctx          context.Context // of the first, without its cancellation
	deadline     time.Time       // the latest deadline
	notification workflows.Notification
	settings     workflows.Settings
	notified     int // how many notifications share it

	answered chan struct{} // closed once run and err are set
	run      client.WorkflowRun
	err      error
}

// signal returns once a signal sent after the call has reached the workflow, or ctx, which
// needs a deadline, ends. shared is how many notifications share the signal.
func (c *coalescing) signal(ctx context.Context, n workflows.Notification, settings workflows.Settings) (run client.WorkflowRun, shared int, err error) {
	s := c.join(ctx, n, settings)
	select {
	case <-s.answered:
		return s.run, s.notified, s.err
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("waiting for the signal to workflow %s: %w", workflows.WorkflowID(n.ScrapingJobID), ctx.Err())
	}
}

func (c *coalescing) join(ctx context.Context, n workflows.Notification, settings workflows.Settings) *sharedSignal {
	c.mu.Lock()
	defer c.mu.Unlock()
	job := jobOf{n.Account, n.ScrapingJobID}
	s, sending := c.next[job]
	if s == nil {
		s = &sharedSignal{ctx: context.WithoutCancel(ctx), answered: make(chan struct{})}
		c.next[job] = s
	}
	if deadline, _ := ctx.Deadline(); deadline.After(s.deadline) {
		s.deadline = deadline
	}
	s.notification, s.settings = n, settings
	s.notified++
	if !sending {
		go c.send(job)
	}
	return s
}

// send sends the signals to a job, until there was none for signalEvery.
func (c *coalescing) send(job jobOf) {
	for s := c.take(job); s != nil; s = c.take(job) {
		start := time.Now()
		s.send(c.notify)
		time.Sleep(signalEvery - time.Since(start))
	}
}

// take returns the signal to send. Notifications that arrive later share another one.
func (c *coalescing) take(job jobOf) *sharedSignal {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.next[job]
	if s == nil {
		delete(c.next, job)
	} else {
		c.next[job] = nil
	}
	return s
}

func (s *sharedSignal) send(notify notify) {
	defer close(s.answered)
	defer func() { // like a panic in a handler, this must not end the process
		if problem := recover(); problem != nil {
			s.err = fmt.Errorf("panic: %v", problem)
		}
	}()
	ctx, cancel := context.WithDeadline(s.ctx, s.deadline)
	defer cancel()
	s.run, s.err = notify(ctx, s.notification, s.settings)
}
