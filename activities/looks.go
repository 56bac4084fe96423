package activities

import (
	"context"
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
	page  listedPage                        // the last
	jobs  map[int64]*webscraper.ScrapingJob // of all its pages
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
			if job := group.jobs[id]; job != nil || group.err != nil {
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

// lookTogether lists the account's jobs for a group, if it is one: page by page, as
// long as each has several of them. The others are looked at one by one.
func (a *Activities) lookTogether(ctx context.Context, l *looks) {
	l.mu.Lock()
	group := l.group
	l.group, group.begun = nil, time.Now()
	if l.listed != nil {
		group.page = l.listed.page
	}
	l.mu.Unlock()
	defer close(group.done)
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	slices.Sort(group.ids)
	inVain := false
	for rest := group.ids; len(rest) > 1 && !inVain; {
		number := group.page.towards(rest[len(rest)/2])
		jobs, last, err := a.Cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{}, number)
		if err != nil {
			group.err = err
			return
		}
		group.add(number, jobs, last)
		missing := slices.DeleteFunc(slices.Clone(rest), func(id int64) bool { return group.jobs[id] != nil })
		rest, inVain = missing, len(missing) > len(rest)-2
	}
	l.take(group, inVain)
}

// take takes in what was listed.
func (l *looks) take(group *lookGroup, inVain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(group.jobs) > 0 {
		l.listed = group
	}
	if l.inVain++; !inVain {
		l.inVain = 0
	}
	if l.inVain == listsInVain {
		l.inVain, l.pauses = 0, time.Now().Add(listsPause)
	}
}

// add adds a page to what the group has.
func (g *lookGroup) add(number int, jobs []*webscraper.ScrapingJob, last int) {
	if len(jobs) == 0 { // the list has become shorter
		g.page = listedPage{}
		return
	}
	g.page = listedPage{number: number, last: last, lowest: jobs[0].ID, highest: jobs[0].ID, descending: jobs[0].ID > jobs[len(jobs)-1].ID}
	if g.jobs == nil {
		g.jobs = map[int64]*webscraper.ScrapingJob{}
	}
	for _, job := range jobs {
		g.jobs[job.ID] = job
		g.page.lowest, g.page.highest = min(g.page.lowest, job.ID), max(g.page.highest, job.ID)
	}
}
