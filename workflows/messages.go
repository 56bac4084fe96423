package workflows

import (
	"strconv"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Names under which the workflow, its task queue, signals and query are known
// to Temporal.
const (
	// ImportScrapingJobName is the workflow's registered name.
	ImportScrapingJobName = "ImportScrapingJob"
	// DefaultTaskQueue is where workers listen unless told otherwise.
	DefaultTaskQueue = "scrapingjob-import"
	// NotificationSignal says that Web Scraper Cloud has sent a notification.
	// Its payload, a Notification, is for people to read: what counts is what
	// the API says.
	NotificationSignal = "notification"
	// ReimportSignal asks for the job to be downloaded and imported again,
	// replacing its records. It has no payload.
	ReimportSignal = "reimport"
	// reconciliationSignal says that reconciliation has found the job ended and
	// not published as it is. Its payload is the job, a sink.ScrapingJob: a
	// run that is at work on this very content takes no notice. Without a payload it
	// asks an import that needs attention to try again.
	reconciliationSignal = "reconciliation"
	// AbandonSignal closes the import; the job stays in the cloud. What other
	// signals ask for besides is done before. Like the following ones it needs no
	// payload.
	AbandonSignal = "abandon"
	// KeepSignal closes the import, as AbandonSignal does, as complete.
	KeepSignal = "keep"
	// AcceptSignal goes on with an import that needs attention because of what its
	// records are or how many: what that does is part of the question. It and
	// DeleteNowSignal count only for the import, and the question, that was there to
	// be seen. With a text as its payload, it counts for no question but that one, which
	// is a Progress's Attention.
	AcceptSignal = "accept"
	// DeleteNowSignal ends the hold.
	DeleteNowSignal = "delete-now"
	// watchSignal makes the import report to the workflow whose ID is the payload. It sends
	// reportSignal with a contract.ScrapedJob whenever the import is published, needs
	// attention, or closes.
	watchSignal  = "watch"
	reportSignal = "report"
	// ProgressQuery returns a Progress, and a contract.RunSitemapProgress of RunSitemap.
	ProgressQuery = "progress"
)

// DownloadTaskQueue is the task queue, beside the one that workers listen on, of
// downloads that any worker may take. A worker polls it only while it has room for
// one.
func DownloadTaskQueue(taskQueue string) string { return taskQueue + "@downloads" }

// WorkflowID is the ID of the workflow that imports a scraping job: the job's
// own ID in decimal, so that any number of notifications is one workflow.
func WorkflowID(scrapingJobID int64) string {
	return strconv.FormatInt(scrapingJobID, 10)
}

// Notification is what Web Scraper Cloud sends when a scraping job has
// finished, stopped or failed.
type Notification struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account is the one whose webhook it came to. Web Scraper Cloud does not send it.
	Account     string `json:"account,omitempty"`
	Status      string `json:"status"`
	SitemapID   int64  `json:"sitemap_id"`
	SitemapName string `json:"sitemap_name"`
	CustomID    string `json:"custom_id,omitempty"`
}

// ImportScrapingJobInput is the input of ImportScrapingJob.
type ImportScrapingJobInput struct {
	// ScrapingJobID may be left out: it is the workflow's ID.
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account is the one that has the job. It may be left out: it is that of the job's
	// published import, or else the default account.
	Account  string   `json:"account,omitempty"`
	Settings Settings `json:"settings"`
	// AwaitEnd starts the import before the job has ended: the run waits for the job's end
	// and looks at it now and then.
	AwaitEnd bool `json:"await_end,omitempty"`
	// Carried is set when the run goes on with another one's import.
	Carried *carried `json:"carried,omitempty"`
}

// Outcome says how an import ended.
type Outcome string

const (
	// Deleted: imported, verified, and deleted in the cloud.
	Deleted Outcome = "deleted"
	// Kept: imported; the job stays in the cloud, the result's reason says why.
	Kept Outcome = "kept"
	// Abandoned: a person gave the import up; the job stays in the cloud.
	Abandoned Outcome = "abandoned"
	// Unchanged: nothing was done, the same content had been imported before.
	Unchanged Outcome = "unchanged"
	// StillRunning: nothing was imported, the job runs (again). Web Scraper
	// Cloud notifies when it ends.
	StillRunning Outcome = "still-running"
	// Filtered: nothing was imported, the filter does not let the job pass.
	Filtered Outcome = "filtered"
	// Restored: imported again from the archive, the cloud does not know the job
	// any more.
	Restored Outcome = "restored"
	// NotFound: nothing was imported, the cloud does not know the job.
	NotFound Outcome = "not-found"
	// Refused: nothing was imported, another account has a published job of this ID.
	Refused Outcome = "refused"
)

// ImportScrapingJobResult is the result of ImportScrapingJob. Its counts are
// those of the last import that the workflow published or found published.
type ImportScrapingJobResult struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account,omitempty"`
	sink.Counts
	// Bytes and SHA256 (lower-case hex) are those of the downloaded file.
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Outcome Outcome `json:"outcome"`
	// Reason explains, in one sentence, an outcome that is not Deleted.
	Reason string `json:"reason,omitempty"`
	// Problem says what was not done besides publishing the records: the sitemap's
	// view was not refreshed, or rows of a mapped table not deactivated.
	Problem string `json:"problem,omitempty"`
}

// Step is what an import is doing.
type Step string

// The steps of an import, in their order.
const (
	// StepScrape: Web Scraper Cloud is still scraping.
	StepScrape   Step = "scraping"
	StepDownload Step = "downloading"
	StepImport   Step = "importing"
	StepHold     Step = "holding"
	StepDelete   Step = "deleting in the cloud"
	stepDone     Step = "done"
	// StepNeedsAttention stands apart: the import waits for a person's signal.
	StepNeedsAttention Step = "needs-attention"
)

// Progress answers the query "progress". The records of an import under way
// are in the heartbeat of its activity.
type Progress struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account,omitempty"` // once it is known
	SitemapName   string `json:"sitemap_name,omitempty"`
	Status        string `json:"status,omitempty"`
	Step          Step   `json:"step"`
	// StoredRecordCount is the job's record count in the API; JobsExecuted of
	// JobsScheduled pages are scraped.
	StoredRecordCount int64 `json:"stored_record_count"`
	JobsExecuted      int64 `json:"jobs_executed,omitempty"`
	JobsScheduled     int64 `json:"jobs_scheduled,omitempty"`
	// Counts are those of the published import.
	sink.Counts
	// Problem is that of the result.
	Problem string `json:"problem,omitempty"`
	// Attention says what is wrong, and which signals continue, when the step is
	// StepNeedsAttention.
	Attention string `json:"attention,omitempty"`
	// Signals are those that make sense now, all of them without input. Accept says
	// what AcceptSignal does, if it is one of them.
	Signals []string `json:"signals,omitempty"`
	Accept  string   `json:"accept,omitempty"`
	// DeleteAfter is when the hold ends.
	DeleteAfter *time.Time `json:"delete_after,omitempty"`
	// FailsAfter is when the wait for a person ends.
	FailsAfter *time.Time `json:"fails_after,omitempty"`
	// WaitsFor says what the import waits for by itself, and WaitsUntil until when:
	// "the API's limit of calls", "Web Scraper Cloud to say that the job has ended",
	// "more notifications".
	WaitsFor   string     `json:"waits_for,omitempty"`
	WaitsUntil *time.Time `json:"waits_until,omitempty"`
}
