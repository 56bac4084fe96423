package activities

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

const (
	// looksApart is after how long without a look the next one is for itself: it does
	// not wait for others.
	looksApart = time.Second
	// A look before a download waits for others with a slot in hand; one before a
	// deletion keeps nobody waiting.
	gatherDownloads = 100 * time.Millisecond
	gatherDeletions = 500 * time.Millisecond
	// listServes is for how long a list serves those who had asked before it.
	listServes = 5 * time.Second
	// After listsInVain lists in a row, each nearer to the jobs, there are none for
	// listsPause.
	listsInVain = 4
	listsPause  = 10 * time.Minute
	// listTimeout is for one, with its answer.
	listTimeout = time.Minute
)

// looks lets looks at jobs that come together share a call: a page of the account's
// list has 100 whole job objects.
type looks struct {
	gather time.Duration

	mu     sync.Mutex
	last   time.Time  // when the last look was asked for
	group  *lookGroup // what gathers
	listed *lookGroup // what was listed last
	pauses time.Time  // until when there are no lists
	inVain int        // how many lists in a row had less than two of the jobs
}

// lookGroup are looks that share a list.
type lookGroup struct {
	ids   []int64
	begun time.Time // the list
	done  chan struct{}
	page  listedPage
	jobs  map[int64]*webscraper.ScrapingJob // of the page
	err   error
}

// listedPage is where in the account's list a page is.
type listedPage struct {
	number, last    int
	lowest, highest int64 // IDs
	descending      bool
}

// towards is the page that a job is expected on, by those that this one has: what
// comes together was made together, so that a list has it together. The API does not
// say in which order it lists.
func (p listedPage) towards(id int64) int {
	width := p.highest - p.lowest + 1
	away := int64(0)
	switch {
	case id > p.highest:
		away = 1 + (id-p.highest)/width
	case id < p.lowest:
		away = -1 - (p.lowest-id)/width
	}
	if p.descending {
		away = -away
	}
	return int(min(max(int64(p.number)+away, 1), int64(max(p.last, 1))))
}

// sharedLook is a look that may share a list: one that is begun after it was asked for.
type sharedLook struct {
	looks *looks
	asked time.Time // zero for now
}

type sharedLookKey struct{}

// withSharedLook has the look share a list. That before a download was asked for when
// the activity was scheduled.
func (a *Activities) withSharedLook(ctx context.Context, l *looks) context.Context {
	shared := sharedLook{looks: l}
	if info := activity.GetInfo(ctx); l == &a.downloadLooks && info.Attempt == 1 {
		shared.asked = time.Now().Add(-info.StartedTime.Sub(info.ScheduledTime)) // both by Temporal's clock
	}
	return context.WithValue(ctx, sharedLookKey{}, shared)
}

// areShared reports whether looks are worth gathering at present.
func (l *looks) areShared() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.pauses)
}

// look asks the cloud for a job, and may share the call with others.
func (a *Activities) look(ctx context.Context, id int64) (*webscraper.ScrapingJob, error) {
	if shared, ok := ctx.Value(sharedLookKey{}).(sharedLook); ok {
		if group := a.joinLooks(ctx, shared, id); group != nil {
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
func (a *Activities) joinLooks(ctx context.Context, shared sharedLook, id int64) *lookGroup {
	l := shared.looks
	l.mu.Lock()
	defer l.mu.Unlock()
	if listed := l.listed; listed != nil && !shared.asked.IsZero() && listed.begun.After(shared.asked) &&
		time.Since(listed.begun) < listServes && listed.jobs[id] != nil {
		return listed
	}
	alone := time.Since(l.last) > looksApart
	l.last = time.Now()
	switch {
	case l.group != nil:
		l.group.ids = append(l.group.ids, id)
	case alone:
		return nil
	default:
		l.group = &lookGroup{ids: []int64{id}, done: make(chan struct{})}
		time.AfterFunc(l.gather, func() { a.lookTogether(context.WithoutCancel(ctx), l) })
	}
	return l.group
}

// lookTogether is one list, if there are several. What it does not have, each looks at
// for itself.
func (a *Activities) lookTogether(ctx context.Context, l *looks) {
	l.mu.Lock()
	group := l.group
	l.group, group.begun = nil, time.Now()
	group.page.number = 1
	if l.listed != nil {
		slices.Sort(group.ids)
		group.page.number = l.listed.page.towards(group.ids[len(group.ids)/2])
	}
	l.mu.Unlock()
	defer close(group.done)
	if len(group.ids) == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	jobs, last, err := a.Cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{}, group.page.number)
	if err != nil {
		group.err = err
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed = nil
	if group.take(jobs, last); len(jobs) > 0 {
		l.listed = group
	}
	found := slices.DeleteFunc(group.ids, func(id int64) bool { return group.jobs[id] == nil })
	if l.inVain++; len(found) > 1 {
		l.inVain = 0
	}
	if l.inVain == listsInVain {
		l.inVain, l.pauses = 0, time.Now().Add(listsPause)
	}
}

// take takes in the page.
func (g *lookGroup) take(jobs []*webscraper.ScrapingJob, last int) {
	g.jobs = make(map[int64]*webscraper.ScrapingJob, len(jobs))
	for _, job := range jobs {
		g.jobs[job.ID] = job
	}
	if len(jobs) > 0 {
		ids := slices.Collect(maps.Keys(g.jobs))
		g.page.last, g.page.lowest, g.page.highest = last, slices.Min(ids), slices.Max(ids)
		g.page.descending = jobs[0].ID > jobs[len(jobs)-1].ID
	}
}
