package activities

import (
	"context"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

const (
	// looksApart is after how long without a look the next one is for itself: it does
	// not wait for others.
	looksApart = time.Second
	// looksGather is for how long the following wait for each other.
	looksGather = 100 * time.Millisecond
	// fewestLooks are worth a list.
	fewestLooks = 3
	// listsPause is for how long there are no lists after some in vain.
	listsPause   = 10 * time.Minute
	groupTimeout = time.Minute
)

// looks lets looks at jobs that come together share a call: a page of the account's
// list has 100 whole job objects. The zero value is ready for use.
type looks struct {
	mu     sync.Mutex
	last   time.Time
	group  *lookGroup // what gathers
	pauses time.Time  // until when there are no lists
	inVain int        // how many lists in a row had less than two of the jobs
	// The API does not say in which order it lists, and what comes together was made,
	// and so is listed, together: at one of the ends.
	lastPage int
	fromEnd  bool
}

type lookGroup struct {
	ids  []int64
	done chan struct{}
	jobs map[int64]*webscraper.ScrapingJob // of those that a list has had
	err  error
}

type sharedLookKey struct{}

// areShared reports whether looks are worth gathering at present.
func (l *looks) areShared() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.pauses)
}

// look asks the cloud for a job, and may share the call with others.
func (a *Activities) look(ctx context.Context, id int64) (*webscraper.ScrapingJob, error) {
	if ctx.Value(sharedLookKey{}) != nil {
		if group := a.joinLooks(ctx, id); group != nil {
			select {
			case <-group.done:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if job, ok := group.jobs[id]; ok || group.err != nil {
				return job, group.err
			}
		}
	}
	return a.Cloud.ScrapingJob(ctx, id)
}

// joinLooks returns the group that looks at the job, or nil if nobody else looks.
func (a *Activities) joinLooks(ctx context.Context, id int64) *lookGroup {
	l := &a.looks
	l.mu.Lock()
	defer l.mu.Unlock()
	alone := time.Since(l.last) > looksApart
	l.last = time.Now()
	switch {
	case l.group != nil:
		l.group.ids = append(l.group.ids, id)
	case alone:
		return nil
	default:
		l.group = &lookGroup{ids: []int64{id}, done: make(chan struct{})}
		time.AfterFunc(looksGather, func() { a.lookTogether(context.WithoutCancel(ctx)) })
	}
	return l.group
}

// lookTogether is one list, if that is worth it. What it does not have, each looks at
// for itself.
func (a *Activities) lookTogether(ctx context.Context) {
	l := &a.looks
	l.mu.Lock()
	group := l.group
	l.group = nil
	page := 1
	if l.fromEnd {
		page = max(l.lastPage, 1)
	}
	l.mu.Unlock()
	defer close(group.done)
	if len(group.ids) < fewestLooks {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	listed, lastPage, err := a.Cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{}, page)
	if err != nil {
		group.err = err
		return
	}
	group.jobs = make(map[int64]*webscraper.ScrapingJob, len(listed))
	for _, job := range listed {
		group.jobs[job.ID] = job
	}
	found := 0
	for _, id := range group.ids {
		if group.jobs[id] != nil {
			found++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastPage = lastPage
	if found > 1 {
		l.inVain = 0
		return
	}
	l.fromEnd = !l.fromEnd
	if l.inVain++; l.inVain == 2 { // at both ends
		l.inVain, l.pauses = 0, time.Now().Add(listsPause)
	}
}
