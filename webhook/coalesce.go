package webhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// signalEvery is the least time from one signal to a scraping job to the next.
const signalEvery = time.Second

// coalescing lets notifications of the same scraping job share signals: the first one
// is signalled at once; those that come while a signal is on its way, or within
// signalEvery of it, share the next one. None shares a signal that was begun before it
// came, for the workflow may have looked at the job already.
type coalescing struct {
	notify notify

	mu sync.Mutex
	// next has the jobs for which send runs: the signal that notifications share
	// now, nil while there are none.
	next map[jobOf]*sharedSignal
}

// jobOf is a scraping job that an account has told of.
type jobOf struct {
	account string
	id      int64
}

type notify func(context.Context, workflows.Notification, workflows.Settings) (client.WorkflowRun, error)

// sharedSignal is what the last notification wants, and what all of them get.
type sharedSignal struct {
	ctx          context.Context // of the first, without its end
	deadline     time.Time       // the latest of them
	notification workflows.Notification
	settings     workflows.Settings
	notified     int // how many notifications share it

	answered chan struct{} // closed when run and err are set
	run      client.WorkflowRun
	err      error
}

// signal returns when the workflow has a signal that was sent after the call, or ctx,
// which needs a deadline, has ended. shared is how many notifications that signal stands for.
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

// send sends the signals to a job, until there has been none for signalEvery.
func (c *coalescing) send(job jobOf) {
	for s := c.take(job); s != nil; s = c.take(job) {
		begun := time.Now()
		s.send(c.notify)
		time.Sleep(signalEvery - time.Since(begun))
	}
}

// take returns the signal to send; whoever comes from now on shares another one.
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
	defer func() { // as a panic in a handler, this is no reason for the process to end
		if problem := recover(); problem != nil {
			s.err = fmt.Errorf("panic: %v", problem)
		}
	}()
	ctx, cancel := context.WithDeadline(s.ctx, s.deadline)
	defer cancel()
	s.run, s.err = notify(ctx, s.notification, s.settings)
}
