package activities

import (
	"cmp"
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
	// listTimeout is for all pages, with their answers.
	listTimeout = time.Minute
)

// looks lets looks at jobs that come together share a call: a page of the account's
// list has 100 whole job objects.
type looks struct {
	mu     sync.Mutex
	last   time.Time  // when the last look was asked for
	group  []*look    // what gathers
	listed listedPage // what was listed last
	pauses time.Time  // until when there are no lists
	inVain int        // how many lists in a row have failed or had less than two of the jobs
}

// look is one that waits for a list.
type look struct {
	id   int64
	done chan struct{}
	job  *webscraper.ScrapingJob // nil if the list does not have it
	err  error
}

func (l *look) answer(job *webscraper.ScrapingJob, err error) {
	l.job, l.err = job, err
	close(l.done)
}

// listedPage is a page of the account's list.
type listedPage struct {
	begun           time.Time
	number, last    int
	lowest, highest int64 // IDs
	descending      bool
	jobs            map[int64]*webscraper.ScrapingJob
}

func newListedPage(begun time.Time, number, last int, jobs []*webscraper.ScrapingJob) listedPage {
	if len(jobs) == 0 {
		return listedPage{} // the list has become shorter
	}
	p := listedPage{
		begun: begun, number: number, last: last, lowest: jobs[0].ID, highest: jobs[0].ID,
		descending: jobs[0].ID > jobs[len(jobs)-1].ID, jobs: map[int64]*webscraper.ScrapingJob{},
	}
	for _, job := range jobs {
		p.jobs[job.ID] = job
		p.lowest, p.highest = min(p.lowest, job.ID), max(p.highest, job.ID)
	}
	return p
}

// towards is the number of the page that a job is expected on, by those that this one
// has: what comes together was made together, so that a list has it together. The API
// does not say in which order it lists.
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

// sharedLook says that a look may share a list: one that is begun after it was asked for.
type sharedLook struct {
	looks  *looks
	gather time.Duration // how long it waits for others
	asked  time.Time     // zero for now
}

type sharedLookKey struct{}

// withSharedLook has the look share a list. That before a download was asked for when
// the activity was scheduled.
func (a *Account) withSharedLook(ctx context.Context, l *looks) context.Context {
	shared := sharedLook{looks: l, gather: gatherDeletions}
	if l == &a.downloadLooks {
		shared.gather = gatherDownloads
		if info := activity.GetInfo(ctx); info.Attempt == 1 {
			shared.asked = time.Now().Add(-info.StartedTime.Sub(info.ScheduledTime)) // both by Temporal's clock
		}
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
func (a *Account) look(ctx context.Context, id int64) (*webscraper.ScrapingJob, error) {
	if shared, ok := ctx.Value(sharedLookKey{}).(sharedLook); ok {
		if look := a.joinLooks(ctx, shared, id); look != nil {
			select {
			case <-look.done:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if look.job != nil || look.err != nil {
				return look.job, look.err
			}
		}
	}
	return a.cloud.ScrapingJob(ctx, id)
}

// joinLooks returns a look that waits for a list, or has its answer, or nil if nobody
// else looks.
func (a *Account) joinLooks(ctx context.Context, shared sharedLook, id int64) *look {
	l := shared.looks
	l.mu.Lock()
	defer l.mu.Unlock()
	joined := &look{id: id, done: make(chan struct{})}
	served := !shared.asked.IsZero() && l.listed.begun.After(shared.asked) && time.Since(l.listed.begun) < listServes
	if job := l.listed.jobs[id]; served && job != nil {
		joined.answer(job, nil)
		return joined
	}
	alone := l.group == nil && (time.Since(l.last) > looksApart || time.Now().Before(l.pauses))
	l.last = time.Now()
	if alone {
		return nil
	}
	if l.group == nil {
		time.AfterFunc(shared.gather, func() { a.lookTogether(context.WithoutCancel(ctx), l) })
	}
	l.group = append(l.group, joined)
	return joined
}

// lookTogether lists the account's jobs for several looks: page by page, as long as
// each has several of them. Each goes on as soon as its page is there.
func (a *Account) lookTogether(ctx context.Context, l *looks) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	l.mu.Lock()
	group, page := l.group, l.listed
	l.group = nil
	l.mu.Unlock()
	slices.SortFunc(group, func(x, y *look) int { return cmp.Compare(x.id, y.id) })
	var err error
	for found := 2; len(group) > 1 && found > 1; {
		begun, number := time.Now(), page.towards(group[len(group)/2].id)
		var jobs []*webscraper.ScrapingJob
		var last int
		if jobs, last, err = a.cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{}, number); err != nil {
			if _, limited := webscraper.IsRateLimited(err); !limited {
				l.take(page, true)
			}
			break
		}
		page = newListedPage(begun, number, last, jobs)
		before := len(group)
		group = slices.DeleteFunc(group, func(look *look) bool {
			job := page.jobs[look.id]
			if job != nil {
				look.answer(job, nil)
			}
			return job != nil
		})
		found = before - len(group)
		l.take(page, found < 2)
	}
	for _, look := range group {
		look.answer(nil, err)
	}
}

// take takes in what was listed.
func (l *looks) take(page listedPage, inVain bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listed = page
	if l.inVain++; !inVain {
		l.inVain = 0
	}
	if l.inVain == listsInVain {
		l.inVain, l.pauses = 0, time.Now().Add(listsPause)
	}
}
