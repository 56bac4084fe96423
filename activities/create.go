package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CreateScrapingJobInput describes the job to create.
type CreateScrapingJobInput struct {
	// Account is the sitemap's account, the default one if empty.
	Account   string `json:"account,omitempty"`
	SitemapID int64  `json:"sitemap_id"`
	// Driver is "fast" or "fulljs"; PageLoadDelay and RequestInterval are in whole
	// milliseconds on the wire; Proxy and StartURLs may be empty: see
	// [webscraper.ScrapingJobConfig].
	Driver          string        `json:"driver"`
	PageLoadDelay   time.Duration `json:"page_load_delay"`
	RequestInterval time.Duration `json:"request_interval"`
	Proxy           string        `json:"proxy,omitempty"`
	StartURLs       []string      `json:"start_urls,omitempty"`
	// CustomID distinguishes the job from all others of the sitemap. Required.
	CustomID string `json:"custom_id"`
	// FindOnly creates nothing: the result is the latest job with the custom ID.
	FindOnly bool `json:"only_look,omitempty"`
	// MayExist is set if an earlier run may have created the job already.
	MayExist bool `json:"may_exist,omitempty"`
	// RerunOf is a job whose failed and empty URLs replace StartURLs, 0 for none. If the job
	// has no such URLs, nothing is created.
	RerunOf int64 `json:"rerun_of,omitempty"`
	// MinPageCredits is the number of page credits that the account must have; 0 disables
	// the check.
	MinPageCredits int64 `json:"min_page_credits,omitempty"`
}

// CreateScrapingJobResult is the created or found job.
type CreateScrapingJobResult struct {
	// Wait is as in [DownloadScrapingJobResult].
	Wait time.Duration `json:"wait,omitempty"`
	// ScrapingJobID is 0 if there was nothing to create or find.
	ScrapingJobID int64 `json:"scrapingjob_id,omitempty"`
	// Found is set if an earlier attempt created the job.
	Found bool `json:"found,omitempty"`
	// StartURLs counts the URLs of a RerunOf, unless the job was Found.
	StartURLs int `json:"start_urls,omitempty"`
}

const (
	// settling is how long the API may take to list a job whose creation response was lost.
	settling = 10 * time.Second
	// maxListPages limits how many pages of 100 jobs are read per search.
	maxListPages = 10
	// maxRerunURLs limits a rerun and the calls that read its URLs, 100 per call.
	maxRerunURLs = 5000
)

// CreateScrapingJob creates a scraping job once, although creation in the API is not
// idempotent. If an earlier attempt may have sent the request and lost the response, this
// one searches for its job first, immediately and again after settling, and only then
// sends. No two attempts send concurrently. So a second job is created only if the API
// lists a job later than settling after its creation's connection broke, or later than
// the heartbeat timeout after its worker was killed.
func (a *Activities) CreateScrapingJob(ctx context.Context, in CreateScrapingJobInput) (result CreateScrapingJobResult, err error) {
	of, err := a.account(in.Account)
	if err != nil {
		return result, classify(ctx, err)
	}
	c := creation{a: a, of: of, ctx: ctx, in: in}
	c.sent.Store(lastProgress(ctx).Sent) // a reset restarts the count of attempts
	defer keepHeartbeating(ctx, c.progress)()
	c.mayExist = in.MayExist || activity.GetInfo(ctx).Attempt > 1 || c.sent.Load()
	purpose := calls{class: postgres.CallsForDownloads, more: c.callsBefore()}
	wait, err := of.calling(ctx, purpose, func(_, calling context.Context) (err error) {
		result, err = c.run(calling)
		return err
	})
	switch {
	case wait > 0 && c.mayExist && !in.MayExist: // the next attempt must know it may exist
		err = notNow(fmt.Sprintf("create scraping job of sitemap %d", in.SitemapID), wait)
	case wait > 0:
		result = CreateScrapingJobResult{Wait: wait}
	}
	return result, classify(ctx, err)
}

// creation is an attempt to create a job.
type creation struct {
	a        *Activities
	of       *Account
	ctx      context.Context //nolint:containedctx // the activity's own
	in       CreateScrapingJobInput
	mayExist bool
	sent     atomic.Bool
}

func (c *creation) progress() Progress { return Progress{Sent: c.sent.Load()} }

// callsBefore returns the number of calls before the creation, if each list has one
// page.
func (c *creation) callsBefore() (calls int) {
	if c.in.FindOnly {
		return 0
	}
	for _, call := range []bool{c.mayExist, c.mayExist, c.in.MinPageCredits > 0, c.in.RerunOf != 0} {
		if call {
			calls++
		}
	}
	return calls
}

func (c *creation) run(ctx context.Context) (result CreateScrapingJobResult, err error) {
	if strings.TrimSpace(c.in.CustomID) == "" {
		return result, notCreated("a scraping job of sitemap %d needs a custom_id: without one, it cannot be found again", c.in.SitemapID)
	}
	if c.in.FindOnly {
		ids, err := c.list(ctx)
		return CreateScrapingJobResult{ScrapingJobID: slices.Max(append(ids, 0))}, err
	}
	if c.mayExist {
		if result, err = c.find(ctx); err != nil || result.Found {
			return result, err
		}
	}
	searched := time.Now()
	if err := c.checkPageCredits(ctx); err != nil {
		return result, err
	}
	if c.in.RerunOf != 0 {
		if c.in.StartURLs, err = c.problematicURLs(ctx); err != nil || len(c.in.StartURLs) == 0 {
			return result, err
		}
		result.StartURLs = len(c.in.StartURLs)
	}
	if c.mayExist {
		if err := c.settle(searched); err != nil {
			return result, err
		}
		if found, err := c.find(ctx); err != nil || found.Found {
			return found, err
		}
	}
	result.ScrapingJobID, err = c.send(ctx)
	return result, err
}

// settle waits until it makes sense to search again.
func (c *creation) settle(searched time.Time) error {
	ctx, cancel := cancelOnWorkerStop(c.ctx)
	defer cancel()
	select {
	case <-time.After(time.Until(searched.Add(cmp.Or(c.a.settling, settling)))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send makes the call that is not idempotent. Right before it, a heartbeat confirms that
// this attempt is current and records that it sends. No other attempt starts within the
// heartbeat timeout, and by then the call has ended. A cancellation does not end the call,
// as the job's ID would be lost.
func (c *creation) send(ctx context.Context) (id int64, err error) {
	info := activity.GetInfo(c.ctx)
	until, _ := c.ctx.Deadline()
	if info.HeartbeatTimeout > 0 {
		until = time.Now().Add(min(time.Until(until), info.HeartbeatTimeout*9/10))
	}
	sending, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	c.sent.Store(true)
	if info.HeartbeatTimeout > 0 {
		switch err := activity.GetClient(c.ctx).RecordActivityHeartbeat(sending, info.TaskToken, c.progress()); {
		case temporal.IsCanceledError(err):
			<-c.ctx.Done() // a regular heartbeat cancels it
			return 0, c.ctx.Err()
		case err != nil:
			return 0, fmt.Errorf("asking Temporal whether this attempt may create the scraping job: %w", err)
		}
	}
	id, err = c.of.cloud.CreateScrapingJob(sending, webscraper.ScrapingJobConfig{
		SitemapID: c.in.SitemapID, Driver: c.in.Driver, PageLoadDelay: c.in.PageLoadDelay, RequestInterval: c.in.RequestInterval,
		Proxy: c.in.Proxy, StartURLs: c.in.StartURLs, CustomID: c.in.CustomID,
	})
	if webscraper.IsNotFound(err) {
		return 0, notCreated("Web Scraper Cloud has no sitemap %d", c.in.SitemapID)
	}
	return id, fromCloud(err)
}

// find returns the job that an earlier attempt created.
func (c *creation) find(ctx context.Context) (result CreateScrapingJobResult, err error) {
	switch ids, err := c.list(ctx); {
	case err != nil || len(ids) == 0:
		return result, err
	case len(ids) > 1:
		return result, notCreated("%d scraping jobs of sitemap %d have the custom_id %q: %s; no new one was created. Stop or delete the extra ones in Web Scraper Cloud",
			len(ids), c.in.SitemapID, c.in.CustomID, strings.Trim(fmt.Sprint(ids), "[]"))
	default:
		return CreateScrapingJobResult{ScrapingJobID: ids[0], Found: true}, nil
	}
}

// list searches for jobs with the custom ID in the API's list and in the database, which
// also has imported jobs that were deleted in the cloud since.
//
// The API does not document its order. If the first page is sorted by ID, up or down, the
// newest jobs are on the pages at one end, and up to maxListPages of these are read. In
// any other order, more pages than that are an error.
func (c *creation) list(ctx context.Context) ([]int64, error) {
	customID := strings.TrimSpace(c.in.CustomID) // as the API stores it
	ids, err := c.a.Store.ScrapingJobsOfCustomID(ctx, c.of.name, c.in.SitemapID, customID)
	if err != nil {
		return nil, err
	}
	read := func(page int) (listed []int64, last int, err error) {
		jobs, last, err := c.of.cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{SitemapID: c.in.SitemapID}, page)
		for _, job := range jobs {
			listed = append(listed, job.ID)
			if strings.TrimSpace(job.CustomID) == customID && !slices.Contains(ids, job.ID) {
				ids = append(ids, job.ID)
			}
		}
		return listed, last, fromCloud(err)
	}
	listed, last, err := read(1)
	if err != nil {
		return nil, err
	}
	up := slices.IsSorted(listed)
	slices.Reverse(listed)
	if last > maxListPages && !up && !slices.IsSorted(listed) {
		return nil, notCreated("sitemap %d has %d pages of scraping jobs, in no order: its job with the custom_id %q is not found. Delete jobs that you do not need in Web Scraper Cloud",
			c.in.SitemapID, last, c.in.CustomID)
	}
	for n := 2; n <= min(last, maxListPages); n++ {
		page := n
		if up {
			page = last + 2 - n
		}
		if _, _, err := read(page); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func (c *creation) checkPageCredits(ctx context.Context) error {
	if c.in.MinPageCredits <= 0 {
		return nil
	}
	account, err := c.of.cloud.Account(ctx)
	if err != nil {
		return fromCloud(err)
	}
	if account.PageCredits < c.in.MinPageCredits {
		return finalError{errorPageCredits, fmt.Sprintf("the account has %d page credits, min_page_credits is %d: no scraping job of sitemap %d was created. Get page credits, or lower min_page_credits",
			account.PageCredits, c.in.MinPageCredits, c.in.SitemapID)}
	}
	return nil
}

// problematicURLs returns the failed and empty pages of the job to rerun.
func (c *creation) problematicURLs(ctx context.Context) (urls []string, err error) {
	seen := map[string]bool{}
	for each, err := range c.of.cloud.ProblematicURLs(ctx, c.in.RerunOf) {
		switch {
		case webscraper.IsNotFound(err):
			return nil, notCreated("scraping job %d was deleted in Web Scraper Cloud (HOLD_BEFORE_DELETE), and its list of failed and empty pages with it. Run the whole sitemap again",
				c.in.RerunOf)
		case err != nil:
			return nil, fromCloud(err)
		case each.Type != "failed" && each.Type != "empty" || seen[each.URL]:
			continue
		case len(urls) == maxRerunURLs:
			return nil, notCreated("scraping job %d has more than %d failed and empty pages. Run the whole sitemap again", c.in.RerunOf, maxRerunURLs)
		}
		seen[each.URL] = true
		urls = append(urls, each.URL)
	}
	return urls, nil
}
