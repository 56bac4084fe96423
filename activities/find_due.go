package activities

import (
	"context"
	"time"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// FindDueScrapingJobsInput names a page of an account's scraping jobs.
type FindDueScrapingJobsInput struct {
	// Account is the default account if it is empty.
	Account string `json:"account,omitempty"`
	// Page is 1-based.
	Page   int    `json:"page"`
	Filter Filter `json:"filter,omitzero"`
	// Manual is set if an operator requested it: its API calls have priority.
	Manual bool `json:"by_hand,omitempty"`
}

// FindDueScrapingJobsResult has the due jobs of a page.
type FindDueScrapingJobsResult struct {
	// Wait is as in [DownloadScrapingJobResult].
	Wait time.Duration `json:"wait,omitempty"`
	// Listed counts the jobs of the page.
	Listed int `json:"listed"`
	// Due are ended jobs whose current content is not published yet, whose import is
	// unannounced, or that exist although they were recorded as deleted.
	Due []DueScrapingJob `json:"due,omitempty"`
	// Last is set if there are no further pages.
	Last bool `json:"last"`
}

// DueScrapingJob is a job that must be imported.
type DueScrapingJob struct {
	Job sink.ScrapingJob `json:"job"`
	// Published is set if an import of earlier content is published.
	Published bool `json:"published,omitempty"`
	// NotDeleted is set if the job was recorded as deleted but exists.
	NotDeleted bool `json:"not_deleted,omitempty"`
}

// listIsOlder is how long after its deletion a job may still be listed. A job listed later
// was not deleted: another account's token did not find it. It is held again.
const listIsOlder = time.Hour

// FindDueScrapingJobs lists one page of the account's jobs, which is one API call, and
// compares it with what is published. A job that an operator abandoned is not due until
// it has run again.
func (a *Activities) FindDueScrapingJobs(ctx context.Context, in FindDueScrapingJobsInput) (FindDueScrapingJobsResult, error) {
	defer keepHeartbeating(ctx, noProgress)()
	var result FindDueScrapingJobsResult
	of, err := a.account(in.Account)
	if err != nil {
		return result, classify(ctx, err)
	}
	result.Wait, err = of.calling(ctx, calls{class: postgres.CallsForLists, manual: in.Manual}, func(_, calling context.Context) (err error) {
		result, err = a.findDue(calling, of, in)
		return err
	})
	return result, classify(ctx, err)
}

func (a *Activities) findDue(ctx context.Context, of *Account, in FindDueScrapingJobsInput) (FindDueScrapingJobsResult, error) {
	in.Filter = in.Filter.For(of.name)
	listed, lastPage, err := of.cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{Tag: in.Filter.Tag}, in.Page)
	if err != nil {
		return FindDueScrapingJobsResult{}, cloudError{err}
	}
	result := FindDueScrapingJobsResult{
		Listed: len(listed),
		// Without last_page, an empty page is the end.
		Last: len(listed) == 0 || lastPage != 0 && in.Page >= lastPage,
	}
	var ended []sink.ScrapingJob
	var ids []int64
	for _, each := range listed {
		job := NewScrapingJob(of.name, each)
		if each.Status.Terminal() && in.Filter.WhyOutside(job.SitemapName, job.Status) == "" {
			ended = append(ended, job)
			ids = append(ids, job.ScrapingJobID)
		}
	}
	if len(ended) == 0 {
		return result, nil
	}
	published, err := a.Sink.PublishedImports(ctx, ids)
	if err != nil {
		return FindDueScrapingJobsResult{}, err
	}
	abandoned, err := a.Store.AbandonedJobs(ctx, ids)
	if err != nil {
		return FindDueScrapingJobsResult{}, err
	}
	for _, job := range ended {
		there, isPublished := published[job.ScrapingJobID]
		if isPublished && there.Account != "" && there.Account != of.name {
			if err := a.refuse(ctx, job.ScrapingJobID, of.name, there.Account); err != nil {
				return FindDueScrapingJobsResult{}, err
			}
			continue
		}
		// Removed records cannot be verified before another deletion.
		deleted := there.CloudDeletedAt != nil && there.RemovedAt == nil && time.Since(*there.CloudDeletedAt) > listIsOlder
		if isPublished && !deleted && job.SameContent(there.ScrapingJob) && !(there.Unannounced && a.announces(there.SitemapName)) {
			continue
		}
		if left, ok := abandoned[job.ScrapingJobID]; ok && job.SameContent(left) {
			continue
		}
		result.Due = append(result.Due, DueScrapingJob{Job: job, Published: isPublished, NotDeleted: deleted})
	}
	return result, nil
}
