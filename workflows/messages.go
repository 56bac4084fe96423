package workflows

import (
	"strconv"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Names of the workflow, its task queue, signals and query in Temporal.
const (
	// ImportScrapingJobName is the registered name of [ImportScrapingJob].
	ImportScrapingJobName = "ImportScrapingJob"
	// DefaultTaskQueue is the task queue that workers poll by default.
	DefaultTaskQueue = "scrapingjob-import"
	// NotificationSignal is sent for a notification from Web Scraper Cloud. Its payload,
	// a Notification, is informational: the API is the source of truth.
	NotificationSignal = "notification"
	// ReimportSignal asks to download and import the job again, replacing its records. It
	// needs no payload.
	ReimportSignal = "reimport"
	// reconciliationSignal is sent for a job that reconciliation has found due. Its payload
	// is the job, a sink.ScrapingJob: a run that is importing this content already ignores
	// it. Without a payload, it asks an import that needs attention to retry.
	reconciliationSignal = "reconciliation"
	// AbandonSignal closes the import; the job stays in the cloud. Requests of other
	// signals are completed first. Like the following ones, it needs no payload.
	AbandonSignal = "abandon"
	// KeepSignal closes the import like AbandonSignal, but with the outcome Kept.
	KeepSignal = "keep"
	// AcceptSignal continues an import that needs attention because of its records or
	// their number; the question says what it does. AcceptSignal and DeleteNowSignal count
	// only for the import and the question shown when they arrive. With a text as its
	// payload, AcceptSignal counts only for that question, a Progress's Attention.
	AcceptSignal = "accept"
	// DeleteNowSignal ends the hold.
	DeleteNowSignal = "delete-now"
	// watchSignal makes the import report to the workflow whose ID is the payload. It sends
	// reportSignal with a contract.ScrapedJob whenever the import is published, needs
	// attention, or closes.
	watchSignal  = "watch"
	reportSignal = "report"
	// ProgressQuery returns a Progress, and from RunSitemap a contract.RunSitemapProgress.
	ProgressQuery = "progress"
)

// DownloadTaskQueue returns the name of the additional task queue for downloads, which any
// worker may take. A worker polls it only while it has room for one.
func DownloadTaskQueue(taskQueue string) string { return taskQueue + "@downloads" }

// WorkflowID returns the ID of the workflow that imports a scraping job: the job's ID in
// decimal, so that any number of notifications means one workflow.
func WorkflowID(scrapingJobID int64) string {
	return strconv.FormatInt(scrapingJobID, 10)
}

// Notification is sent by Web Scraper Cloud when a scraping job has finished, stopped or
// failed.
type Notification struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account is the one whose webhook received it. Web Scraper Cloud does not send it.
	Account     string `json:"account,omitempty"`
	Status      string `json:"status"`
	SitemapID   int64  `json:"sitemap_id"`
	SitemapName string `json:"sitemap_name"`
	CustomID    string `json:"custom_id,omitempty"`
}

// ImportScrapingJobInput is the input of ImportScrapingJob.
type ImportScrapingJobInput struct {
	// ScrapingJobID is optional: it is the workflow's ID.
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account has the job. Default: that of the job's published import, or else the default
	// account.
	Account  string   `json:"account,omitempty"`
	Settings Settings `json:"settings"`
	// AwaitEnd starts the import before the job has ended: the run waits for the job's end,
	// checking it from time to time.
	AwaitEnd bool `json:"await_end,omitempty"`
	// Carried is set by continue-as-new.
	Carried *carried `json:"carried,omitempty"`
}

// Outcome says how an import ended.
type Outcome string

const (
	// Deleted: imported, verified, and deleted in the cloud.
	Deleted Outcome = "deleted"
	// Kept: imported, or closed by an operator's keep; the job stays in the cloud, and the
	// result's reason says why.
	Kept Outcome = "kept"
	// Abandoned: an operator abandoned the import; the job stays in the cloud.
	Abandoned Outcome = "abandoned"
	// Unchanged: nothing to do, the same content was imported before.
	Unchanged Outcome = "unchanged"
	// StillRunning: nothing imported, the job is running (again). Web Scraper Cloud sends a
	// notification when it ends.
	StillRunning Outcome = "still-running"
	// Filtered: nothing imported, the job does not pass the filter.
	Filtered Outcome = "filtered"
	// Restored: imported again from the archive, because the job is no longer in the cloud.
	Restored Outcome = "restored"
	// NotFound: nothing imported, the job was not found in the cloud.
	NotFound Outcome = "not-found"
	// Refused: nothing imported, another account has a published job with this ID.
	Refused Outcome = "refused"
)

// ImportScrapingJobResult is the result of ImportScrapingJob. Its counts describe the last
// import that the workflow published or found published.
type ImportScrapingJobResult struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account,omitempty"`
	sink.Counts
	// Bytes and SHA256 (lower-case hex) describe the downloaded file.
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Outcome Outcome `json:"outcome"`
	// Reason explains, in one sentence, an outcome that is not Deleted.
	Reason string `json:"reason,omitempty"`
	// Problem says what failed apart from publishing the records: for instance, the
	// sitemap's view was not refreshed, or rows of a mapped table were not deactivated.
	Problem string `json:"problem,omitempty"`
}

// Step is a step of an import.
type Step string

// The steps of an import, in order.
const (
	// StepScrape: Web Scraper Cloud is still scraping.
	StepScrape   Step = "scraping"
	StepDownload Step = "downloading"
	StepImport   Step = "importing"
	StepHold     Step = "holding"
	StepDelete   Step = "deleting in the cloud"
	stepDone     Step = "done"
	// StepNeedsAttention may follow any step: the import waits for an operator's signal.
	StepNeedsAttention Step = "needs-attention"
)

// Progress is the answer to the query "progress". While records are being imported, their
// number is in the heartbeat of the activity.
type Progress struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account,omitempty"` // once it is known
	SitemapName   string `json:"sitemap_name,omitempty"`
	Status        string `json:"status,omitempty"`
	Step          Step   `json:"step"`
	// Described is set once the run has read the job in the cloud, and what is published of
	// it. Before that, the sitemap and the status are those of the signal.
	Described bool `json:"described"`
	// ImportID is the published import, 0 if there is none or it is not known yet.
	ImportID int64 `json:"import_id,omitempty"`
	// StoredRecordCount is the job's record count in the API; JobsExecuted of
	// JobsScheduled pages are scraped.
	StoredRecordCount int64 `json:"stored_record_count"`
	JobsExecuted      int64 `json:"jobs_executed,omitempty"`
	JobsScheduled     int64 `json:"jobs_scheduled,omitempty"`
	// Counts describe the published import.
	sink.Counts
	// Problem is the same as in the result.
	Problem string `json:"problem,omitempty"`
	// Attention says what is wrong and which signals continue, if the step is
	// StepNeedsAttention.
	Attention string `json:"attention,omitempty"`
	// Signals are those that may be sent now, all without input. Accept says what
	// AcceptSignal does, if it is one of them.
	Signals []string `json:"signals,omitempty"`
	Accept  string   `json:"accept,omitempty"`
	// SkippedIfClosed is set if the job's content is not published, so that after
	// KeepSignal or AbandonSignal reconciliation skips the job until it has run again.
	SkippedIfClosed bool `json:"skipped_if_closed,omitempty"`
	// DeleteAfter is when the hold ends.
	DeleteAfter *time.Time `json:"delete_after,omitempty"`
	// FailsAfter is when the import fails unless an operator answers.
	FailsAfter *time.Time `json:"fails_after,omitempty"`
	// WaitsFor says what the import waits for on its own, and WaitsUntil until when:
	// "the API's rate limit", "Web Scraper Cloud to report the job's end",
	// "more notifications".
	WaitsFor   string     `json:"waits_for,omitempty"`
	WaitsUntil *time.Time `json:"waits_until,omitempty"`
}
