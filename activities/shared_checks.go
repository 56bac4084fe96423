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
	// checksApart: a check that comes this long after the last one does not wait for
	// others.
	checksApart = time.Second
	// How long to gather checks for one list. A check before a download holds a slot
	// meanwhile; one before a deletion blocks nothing.
	gatherDownloads = 100 * time.Millisecond
	gatherDeletions = 500 * time.Millisecond
	// listServes is how long a list answers checks that were requested before it.
	listServes = 5 * time.Second
	// After maxFruitlessLists in a row, each nearer to the jobs, listing pauses for
	// listsPause.
	maxFruitlessLists = 4
	listsPause        = 10 * time.Minute
	// listTimeout covers all pages of a list.
	listTimeout = time.Minute
)

// sharedChecks lets checks of several jobs share one call: a page of the account's list
// has 100 complete job objects.
type sharedChecks struct {
	mu        sync.Mutex
	last      time.Time   // when the last check was requested
	group     []*jobCheck // gathered for the next list
	listed    listedPage  // the last page listed
	pauses    time.Time   // no lists until then
	fruitless int         // lists in a row that failed or had fewer than two of the jobs
}

// jobCheck is a check that waits for a list.
type jobCheck struct {
	id   int64
	done chan struct{}
	job  *webscraper.ScrapingJob // nil if not in the list
	err  error
}

func (c *jobCheck) answer(job *webscraper.ScrapingJob, err error) {
	c.job, c.err = job, err
	close(c.done)
}

// listedPage is a page of the account's list.
type listedPage struct {
	started         time.Time
	number, last    int
	lowest, highest int64 // IDs
	descending      bool
	jobs            map[int64]*webscraper.ScrapingJob
}

func newListedPage(started time.Time, number, last int, jobs []*webscraper.ScrapingJob) listedPage {
	if len(jobs) == 0 {
		return listedPage{} // the list has become shorter
	}
	p := listedPage{
		started: started, number: number, last: last, lowest: jobs[0].ID, highest: jobs[0].ID,
		descending: jobs[0].ID > jobs[len(jobs)-1].ID, jobs: map[int64]*webscraper.ScrapingJob{},
	}
	for _, job := range jobs {
		p.jobs[job.ID] = job
		p.lowest, p.highest = min(p.lowest, job.ID), max(p.highest, job.ID)
	}
	return p
}

// towards estimates from this page's IDs which page has the job. Jobs that end together
// were usually created together, so a list has them close together. The API does not
// document its order.
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

// sharedCheck lets a check share a list that was started after it was requested.
type sharedCheck struct {
	checks    *sharedChecks
	gather    time.Duration // how long to wait for other checks
	requested time.Time     // zero for now
}

type sharedCheckKey struct{}

// withSharedCheck lets the check share a list. A check before a download was requested
// when its activity was scheduled.
func (a *Account) withSharedCheck(ctx context.Context, c *sharedChecks) context.Context {
	shared := sharedCheck{checks: c, gather: gatherDeletions}
	if c == &a.downloadChecks {
		shared.gather = gatherDownloads
		if info := activity.GetInfo(ctx); info.Attempt == 1 {
			shared.requested = time.Now().Add(-info.StartedTime.Sub(info.ScheduledTime)) // both by Temporal's clock
		}
	}
	return context.WithValue(ctx, sharedCheckKey{}, shared)
}

// enabled reports whether gathering checks is currently worthwhile.
func (c *sharedChecks) enabled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !time.Now().Before(c.pauses)
}

// check requests a job from the cloud and may share the call with other checks.
func (a *Account) check(ctx context.Context, id int64) (*webscraper.ScrapingJob, error) {
	if shared, ok := ctx.Value(sharedCheckKey{}).(sharedCheck); ok {
		if joined := a.joinChecks(ctx, shared, id); joined != nil {
			select {
			case <-joined.done:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			if joined.job != nil || joined.err != nil {
				return joined.job, joined.err
			}
		}
	}
	return a.cloud.ScrapingJob(ctx, id)
}

// joinChecks returns a check that waits for a list or is answered already, nil if there
// are no other checks to join.
func (a *Account) joinChecks(ctx context.Context, shared sharedCheck, id int64) *jobCheck {
	c := shared.checks
	c.mu.Lock()
	defer c.mu.Unlock()
	joined := &jobCheck{id: id, done: make(chan struct{})}
	served := !shared.requested.IsZero() && c.listed.started.After(shared.requested) && time.Since(c.listed.started) < listServes
	if job := c.listed.jobs[id]; served && job != nil {
		joined.answer(job, nil)
		return joined
	}
	alone := c.group == nil && (time.Since(c.last) > checksApart || time.Now().Before(c.pauses))
	c.last = time.Now()
	if alone {
		return nil
	}
	if c.group == nil {
		time.AfterFunc(shared.gather, func() { a.checkTogether(context.WithoutCancel(ctx), c) })
	}
	c.group = append(c.group, joined)
	return joined
}

// checkTogether lists the account's jobs for several checks, page by page, as long as
// each page has several of them. A check returns as soon as its page has arrived.
func (a *Account) checkTogether(ctx context.Context, c *sharedChecks) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	c.mu.Lock()
	group, page := c.group, c.listed
	c.group = nil
	c.mu.Unlock()
	slices.SortFunc(group, func(x, y *jobCheck) int { return cmp.Compare(x.id, y.id) })
	var err error
	for found := 2; len(group) > 1 && found > 1; {
		started, number := time.Now(), page.towards(group[len(group)/2].id)
		var jobs []*webscraper.ScrapingJob
		var last int
		if jobs, last, err = a.cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{}, number); err != nil {
			if _, limited := webscraper.IsRateLimited(err); !limited {
				c.record(page, true)
			}
			break
		}
		page = newListedPage(started, number, last, jobs)
		before := len(group)
		group = slices.DeleteFunc(group, func(each *jobCheck) bool {
			job := page.jobs[each.id]
			if job != nil {
				each.answer(job, nil)
			}
			return job != nil
		})
		found = before - len(group)
		c.record(page, found < 2)
	}
	for _, each := range group {
		each.answer(nil, err)
	}
}

// record keeps the page that was listed and whether the list was fruitless.
func (c *sharedChecks) record(page listedPage, fruitless bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed = page
	if c.fruitless++; !fruitless {
		c.fruitless = 0
	}
	if c.fruitless == maxFruitlessLists {
		c.fruitless, c.pauses = 0, time.Now().Add(listsPause)
	}
}
