package activities

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Description is what Web Scraper Cloud and the database have about a scraping job.
type Description struct {
	// Found is false if the job was not found in Web Scraper Cloud.
	Found bool             `json:"found"`
	Job   sink.ScrapingJob `json:"job"`
	// Published is the published import, nil if there is none.
	Published *sink.PublishedImport `json:"published,omitempty"`
	// Announce is what has yet to be started for that import.
	Announce *Announcement `json:"announce,omitempty"`
	// Account is the job's account. OtherAccount is another account that has published a
	// job with this ID, so this one is not imported.
	Account      string `json:"account,omitempty"`
	OtherAccount string `json:"other_account,omitempty"`
	// Outside says in one sentence why the filter excludes the job.
	Outside string `json:"outside,omitempty"`
	// WorkerTaskQueue is the task queue of the worker that described the job. The job's
	// file can be downloaded and imported there.
	WorkerTaskQueue string `json:"worker_task_queue"`
}

// Running reports whether the job is still being scraped, or is about to be.
func (d Description) Running() bool { return webscraper.Status(d.Job.Status).Running() }

// unchanged reports whether the published import has the job's current content.
func (d Description) unchanged() bool {
	return d.Found && d.Published != nil && d.Job.SameContent(d.Published.ScrapingJob)
}

// Due reports whether the job must be downloaded and imported: it has ended, passes the
// filter, and its content is not published yet or to be imported again.
func (d Description) Due(again bool) bool {
	return d.Found && !d.Running() && d.Outside == "" && (again || !d.unchanged())
}

// finished reports whether the job finished on its own: any other job can be continued.
func finished(job sink.ScrapingJob) bool { return job.Status == "finished" }

// NewScrapingJob returns the part of the job object that matters to an import.
func NewScrapingJob(account string, job *webscraper.ScrapingJob) sink.ScrapingJob {
	return sink.ScrapingJob{
		ScrapingJobID:     job.ID,
		Account:           account,
		SitemapID:         job.SitemapID,
		SitemapName:       job.SitemapName,
		CustomID:          job.CustomID,
		Status:            string(job.Status),
		JobsScheduled:     job.JobsScheduled,
		JobsExecuted:      job.JobsExecuted,
		JobsFailed:        job.JobsFailed,
		JobsEmpty:         job.JobsEmpty,
		JobsNoValue:       job.JobsNoValue,
		StoredRecordCount: job.StoredRecordCount,
		TimeCreated:       inRange(job.TimeCreated, maxTimeCreated),
		ScrapingDuration:  inRange(job.ScrapingDuration, math.MaxInt64),
	}
}

// maxTimeCreated is the end of the year 9999: anything later is not in seconds.
const maxTimeCreated = 253_402_300_799

// inRange returns n, or 0 if it is not between 0 and most.
func inRange(n, most int64) int64 {
	if n < 0 || n > most {
		return 0
	}
	return n
}

// describe adds what Web Scraper Cloud has about the job. It is not an error if the job
// is not found.
func (a *Activities) describe(ctx context.Context, of *Account, id int64, filter Filter, described Description) (Description, error) {
	var err error
	if there := described.Published; there != nil && there.Unannounced {
		if described.Announce, err = a.announcement(ctx, there.SitemapName, there.ImportID); err != nil {
			return described, err
		}
	}
	described.Job, described.Found, err = of.scrapingJob(ctx, id)
	if err == nil && described.Found {
		described.Outside, err = of.whyOutside(ctx, filter, described.Job)
	}
	return described, err
}

// describePublished returns what the database has about the job: its published import
// and, if the caller does not name it, its account.
func (a *Activities) describePublished(ctx context.Context, id int64, account string) (Description, error) {
	described := Description{WorkerTaskQueue: a.WorkerTaskQueue, Account: cmp.Or(account, sink.DefaultAccount)}
	var err error
	described.Published, err = a.published(ctx, id, account)
	if err != nil || described.Published == nil {
		return described, err
	}
	switch owner := described.Published.Account; {
	case account == "":
		described.Account = owner
	case owner != account:
		described.OtherAccount = owner
	}
	return described, nil
}

// published returns the published import of a job, nil if there is none. If its file is
// archived, no records count as cut. account is for custom sinks that store none.
func (a *Activities) published(ctx context.Context, scrapingJobID int64, account string) (*sink.PublishedImport, error) {
	imports, err := a.Sink.PublishedImports(ctx, []int64{scrapingJobID})
	published, ok := imports[scrapingJobID]
	if err != nil || !ok {
		return nil, err
	}
	published.Account = cmp.Or(published.Account, account, sink.DefaultAccount)
	if published.Cut > 0 && a.Archive != nil {
		archived, err := a.Archive.Has(ctx, published.Account, scrapingJobID, published.SHA256)
		if err != nil {
			return nil, archiveError{err}
		}
		if archived {
			published.Cut = 0
		}
	}
	return &published, nil
}

// scrapingJob reads the job from the cloud. found is false if it does not exist.
func (a *Account) scrapingJob(ctx context.Context, id int64) (job sink.ScrapingJob, found bool, err error) {
	described, err := a.check(ctx, id)
	if webscraper.IsNotFound(err) {
		return sink.ScrapingJob{}, false, nil
	}
	if err != nil {
		return sink.ScrapingJob{}, false, cloudError{err}
	}
	if described.ID != id {
		return sink.ScrapingJob{}, false, fmt.Errorf("the API returned scraping job %d instead of %d", described.ID, id)
	}
	return NewScrapingJob(a.name, described), true, nil
}

// whyOutside calls the API only if the filter has a tag. The list of the sitemap's jobs
// with that tag is empty if the sitemap does not have it.
func (a *Account) whyOutside(ctx context.Context, filter Filter, job sink.ScrapingJob) (reason string, err error) {
	if reason := filter.WhyOutside(job.SitemapName, job.Status); reason != "" || filter.Tag == "" {
		return reason, nil
	}
	tagged, _, err := a.cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{SitemapID: job.SitemapID, Tag: filter.Tag}, 1)
	if err != nil {
		return "", cloudError{err}
	}
	if len(tagged) == 0 {
		return fmt.Sprintf("the sitemap %q does not have the tag %q", job.SitemapName, filter.Tag), nil
	}
	return "", nil
}
