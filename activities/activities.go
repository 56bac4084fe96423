package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Activities has the activities of an import as its methods. All fields but
// RecordHook, Slots, ImportConnections and those of the archive are required. A nil *Activities
// serves workflows as a typed reference to them.
type Activities struct {
	// Cloud is the Web Scraper Cloud client. Leave the waiting to Temporal:
	// make it with webscraper.WithRetryOn429(false) and WithPacing(false).
	Cloud *webscraper.Client
	// Sink keeps the records.
	Sink sink.RecordSink
	// Store keeps the rest: which jobs are given up, and the spools.
	Store *postgres.Store
	// RecordHook looks at every record before it is imported, if it is set.
	RecordHook RecordHook
	// Spool keeps downloaded files until they are imported.
	Spool *Spool
	// Slots bound the downloads and imports that run at a time; nil bounds nothing.
	Slots *Slots
	// ImportConnections is how many batches an import commits at a time, each over
	// a connection of its own; 0 means 1.
	ImportConnections int
	// WorkerTaskQueue is the worker-specific task queue: the one that only
	// workers on this spool poll.
	WorkerTaskQueue string
	// Archive keeps the files of published imports; nil keeps none. All workers
	// have to have the same.
	Archive *archive.Archive
	// ArchiveRetention is how long the archive keeps a file; 0 means for good.
	ArchiveRetention time.Duration
}

// Registry is the part of a Temporal worker that takes activities.
type Registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers all activities under their own names.
func (a *Activities) Register(registry Registry) {
	for name, method := range map[string]any{
		"DescribeScrapingJob": a.DescribeScrapingJob,
		"DownloadScrapingJob": a.DownloadScrapingJob,
		"ImportRecords":       a.ImportRecords,
		"RemoveFile":          a.RemoveFile,
		"DeleteScrapingJob":   a.DeleteScrapingJob,
		"GiveUpScrapingJob":   a.GiveUpScrapingJob,

		"FindDueScrapingJobs":     a.FindDueScrapingJobs,
		"ListSpools":              a.ListSpools,
		"SweepSpool":              a.SweepSpool,
		"RemoveUnfinishedImports": a.RemoveUnfinishedImports,
	} {
		registry.RegisterActivityWithOptions(method, activity.RegisterOptions{Name: name})
	}
}

// ScrapingJob is the part of the job object of Web Scraper Cloud that matters
// to an import. The status and the counts are the job's content: they change
// when the job has run again.
type ScrapingJob struct {
	ScrapingJobID     int64  `json:"scrapingjob_id"`
	SitemapID         int64  `json:"sitemap_id"`
	SitemapName       string `json:"sitemap_name"`
	CustomID          string `json:"custom_id,omitempty"`
	Status            string `json:"status"`
	JobsScheduled     int64  `json:"jobs_scheduled"`
	JobsExecuted      int64  `json:"jobs_executed"`
	JobsFailed        int64  `json:"jobs_failed"`
	JobsEmpty         int64  `json:"jobs_empty"`
	JobsNoValue       int64  `json:"jobs_no_value"`
	StoredRecordCount int64  `json:"stored_record_count"`
}

// NewScrapingJob takes from the job object what matters to an import.
func NewScrapingJob(job *webscraper.ScrapingJob) ScrapingJob {
	return ScrapingJob{
		ScrapingJobID:     job.ID,
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
	}
}

// SameContent says whether the job has not run again in between. Names may
// change without that.
func (j ScrapingJob) SameContent(other ScrapingJob) bool {
	j.SitemapID, j.SitemapName, j.CustomID = other.SitemapID, other.SitemapName, other.CustomID
	return j == other
}

// Finished says whether the job came to its end by itself: only then nobody can
// continue it.
func (j ScrapingJob) Finished() bool { return j.Status == string(webscraper.StatusFinished) }

// Running says whether the job is still being scraped, or is about to be.
func (j ScrapingJob) Running() bool { return webscraper.Status(j.Status).Running() }

// PublishedImport is the import of a scraping job that readers of the database
// see.
type PublishedImport struct {
	ImportID    int64     `json:"import_id"`
	Records     int64     `json:"records"`
	Rejected    int64     `json:"rejected"`
	Skipped     int64     `json:"skipped,omitempty"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"`
	PublishedAt time.Time `json:"published_at"`
	// CloudDeletedAt is when the job was deleted in the cloud, if it was.
	CloudDeletedAt *time.Time `json:"cloud_deleted_at,omitempty"`
}

// NewPublishedImport takes from what the sink tells what matters to an import.
func NewPublishedImport(published sink.PublishedImport) *PublishedImport {
	return &PublishedImport{
		ImportID:       published.ImportID,
		Records:        published.Records,
		Rejected:       published.Rejected,
		Skipped:        published.Skipped,
		Bytes:          published.Bytes,
		SHA256:         published.SHA256,
		PublishedAt:    published.PublishedAt,
		CloudDeletedAt: published.CloudDeletedAt,
	}
}

// DescribeScrapingJobInput names the scraping job.
type DescribeScrapingJobInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Filter is what the job has to pass.
	Filter Filter `json:"filter,omitzero"`
}

// DescribeScrapingJobResult is what the cloud and the database know of a job.
type DescribeScrapingJobResult struct {
	// Found is false when Web Scraper Cloud does not know the job.
	Found bool        `json:"found"`
	Job   ScrapingJob `json:"job"`
	// Published is the import that readers see, if there is one.
	Published *PublishedImport `json:"published,omitempty"`
	// Unchanged is set when Published was made from this very content.
	Unchanged bool `json:"unchanged"`
	// Outside says in one sentence why the filter does not let the job pass.
	Outside string `json:"outside,omitempty"`
	// WorkerTaskQueue is the task queue of the worker that answered, where the
	// job's file can be downloaded to and imported from.
	WorkerTaskQueue string `json:"worker_task_queue"`
}

// Due says whether the job has to be downloaded and imported: it has ended, the
// filter lets it pass, and it is not published as it is, or to be imported again.
func (r DescribeScrapingJobResult) Due(again bool) bool {
	return r.Found && !r.Job.Running() && r.Outside == "" && (again || !r.Unchanged)
}

// DescribeScrapingJob asks Web Scraper Cloud for the job and the database for
// its published import. A job that the cloud does not know is no error.
func (a *Activities) DescribeScrapingJob(ctx context.Context, in DescribeScrapingJobInput) (DescribeScrapingJobResult, error) {
	defer keepHeartbeating(ctx, nothingToTell)()
	result, err := a.describe(ctx, in)
	if err != nil {
		return DescribeScrapingJobResult{}, classify(ctx, err)
	}
	timeStep(ctx, stepDescribe)
	return result, nil
}

func (a *Activities) describe(ctx context.Context, in DescribeScrapingJobInput) (DescribeScrapingJobResult, error) {
	id := in.ScrapingJobID
	result := DescribeScrapingJobResult{WorkerTaskQueue: a.WorkerTaskQueue}
	published, err := a.published(ctx, id)
	if err != nil {
		return result, err
	}
	if published != nil {
		result.Published = NewPublishedImport(*published)
	}
	result.Job, result.Found, err = a.scrapingJob(ctx, id)
	if err != nil {
		return result, err
	}
	if !result.Found {
		return result, nil
	}
	result.Unchanged = published != nil && result.Job.SameContent(ScrapingJob(published.ScrapingJob))
	result.Outside, err = a.whyOutside(ctx, in.Filter, result.Job)
	return result, err
}

// published returns the published import of a job, nil when there is none.
func (a *Activities) published(ctx context.Context, scrapingJobID int64) (*sink.PublishedImport, error) {
	imports, err := a.Sink.PublishedImports(ctx, []int64{scrapingJobID})
	if published, is := imports[scrapingJobID]; is {
		return &published, err
	}
	return nil, err
}

// whyOutside asks the API only if the filter has a tag: for the jobs of the
// job's sitemap, provided that the sitemap has the tag.
func (a *Activities) whyOutside(ctx context.Context, filter Filter, job ScrapingJob) (reason string, err error) {
	if reason := filter.WhyOutside(job.SitemapName, job.Status); reason != "" || filter.Tag == "" {
		return reason, nil
	}
	tagged, _, err := a.Cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{SitemapID: job.SitemapID, Tag: filter.Tag}, 1)
	if err != nil {
		return "", cloudError{err}
	}
	if len(tagged) == 0 {
		return fmt.Sprintf("the sitemap %q does not have the tag %q", job.SitemapName, filter.Tag), nil
	}
	return "", nil
}

// nothingToTell is the progress of the API's small calls: their heartbeats only
// say that the worker lives.
func nothingToTell() Progress { return Progress{} }

// scrapingJob asks the cloud for the job; found is false when it has none.
func (a *Activities) scrapingJob(ctx context.Context, id int64) (job ScrapingJob, found bool, err error) {
	described, err := a.Cloud.ScrapingJob(ctx, id)
	if webscraper.IsNotFound(err) {
		return ScrapingJob{}, false, nil
	}
	if err != nil {
		return ScrapingJob{}, false, cloudError{err}
	}
	if described.ID != id {
		return ScrapingJob{}, false, fmt.Errorf("the API was asked for scraping job %d and answered with %d", id, described.ID)
	}
	return NewScrapingJob(described), true, nil
}

// DeleteScrapingJobInput names the job and the import that makes its copy in
// the cloud dispensable.
type DeleteScrapingJobInput struct {
	// Job is the job as it was when it was imported.
	Job      ScrapingJob `json:"job"`
	ImportID int64       `json:"import_id"`
	// Records, Rejected and Skipped are what was imported.
	Records  int64 `json:"records"`
	Rejected int64 `json:"rejected"`
	Skipped  int64 `json:"skipped,omitempty"`
	// MaxRejected is how many rejected records there may be. Accepted says that a
	// person wants the job deleted however many there are, and in spite of a
	// count that does not match.
	MaxRejected int64 `json:"max_rejected,omitempty"`
	Accepted    bool  `json:"accepted,omitempty"`
}

// DeleteScrapingJobResult says whether the job is gone from the cloud.
type DeleteScrapingJobResult struct {
	Deleted bool `json:"deleted"`
	// Changed is set when the job has run again since, or runs now: there may
	// be records in the cloud that have not been imported.
	Changed bool `json:"changed,omitempty"`
	// Unarchived is set when the file of the import ought to be in the archive and
	// is not: the job has to be imported again before it is deleted.
	Unarchived bool `json:"unarchived,omitempty"`
	// Reason says in one sentence why the job was not deleted.
	Reason string `json:"reason,omitempty"`
}

// DeleteScrapingJob deletes the job in Web Scraper Cloud, after one more look:
// the import is the published one, its records counted in the database are what
// was imported and as many as the job has stored, the job is finished, it has not
// run again since, and its file is archived, if there is an archive. A job that
// the cloud no longer knows counts as deleted.
func (a *Activities) DeleteScrapingJob(ctx context.Context, in DeleteScrapingJobInput) (DeleteScrapingJobResult, error) {
	defer keepHeartbeating(ctx, nothingToTell)()
	result, err := a.delete(ctx, in)
	if err != nil {
		return DeleteScrapingJobResult{}, classify(ctx, err)
	}
	timeStep(ctx, stepDelete)
	return result, nil
}

func (a *Activities) delete(ctx context.Context, in DeleteScrapingJobInput) (DeleteScrapingJobResult, error) {
	id := in.Job.ScrapingJobID
	if reason, err := a.whyKeep(ctx, in); err != nil || reason != "" {
		return DeleteScrapingJobResult{Reason: reason}, err
	}
	job, found, err := a.scrapingJob(ctx, id)
	if err != nil {
		return DeleteScrapingJobResult{}, err
	}
	if found && !job.SameContent(in.Job) {
		return DeleteScrapingJobResult{
			Changed: true,
			Reason:  fmt.Sprintf("the job has run again since it was imported: it is %q now", job.Status),
		}, nil
	}
	if found {
		unarchived, err := a.unarchived(ctx, id)
		if err != nil {
			return DeleteScrapingJobResult{}, err
		}
		if unarchived {
			return DeleteScrapingJobResult{
				Unarchived: true,
				Reason:     "the file that was imported is not in the archive: see that all workers have the same ARCHIVE_URL",
			}, nil
		}
		if err := a.Cloud.DeleteScrapingJob(ctx, id); err != nil && !webscraper.IsNotFound(err) {
			return DeleteScrapingJobResult{}, cloudError{err}
		}
	}
	if err := a.Sink.SetCloudDeleted(ctx, id); err != nil {
		return DeleteScrapingJobResult{}, err
	}
	return DeleteScrapingJobResult{Deleted: true}, nil
}

// whyKeep verifies the import in the database. An empty reason means that the
// cloud's copy is not needed any more.
func (a *Activities) whyKeep(ctx context.Context, in DeleteScrapingJobInput) (reason string, err error) {
	counted, published, err := a.Sink.CountPublished(ctx, in.Job.ScrapingJobID, in.ImportID)
	switch {
	case err != nil:
		return "", err
	case !published:
		return fmt.Sprintf("import %d is not the published one", in.ImportID), nil
	case !in.Job.Finished():
		return fmt.Sprintf("the job is %q, not finished", in.Job.Status), nil
	case counted != sink.Counts{Records: in.Records, Rejected: in.Rejected, Skipped: in.Skipped}:
		return fmt.Sprintf("%d records and %d rejected ones are in the database, but %d and %d were imported",
			counted.Records, counted.Rejected, in.Records, in.Rejected), nil
	case in.Accepted:
		return "", nil
	case counted.Rejected > in.MaxRejected:
		return fmt.Sprintf("records rejected: %d, allowed: %d", counted.Rejected, in.MaxRejected), nil
	case counted.All() != in.Job.StoredRecordCount:
		return fmt.Sprintf("records in the database: %d, but the job has stored %d", counted.Records, in.Job.StoredRecordCount), nil
	}
	return "", nil
}
