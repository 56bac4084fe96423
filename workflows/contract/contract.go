// Package contract has the messages of scrapehaul that others send and receive: those of
// the workflow RunSitemap, and of the Nexus service. It brings nothing of the importer
// into the build of who calls it.
package contract

import (
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"

	"github.com/scrapehaul/scrapehaul/sink"
)

// ServiceName is the Nexus service of every worker that imports, on its task queue.
const ServiceName = "scrapehaul"

// The operations of the service.
var (
	// RunSitemap scrapes a sitemap, and completes when its records are published. One
	// operation is one scrape, however often its start is retried; canceled, it leaves
	// the scraping job and its import to go on.
	RunSitemap = nexus.NewOperationReference[RunSitemapInput, RunSitemapResult]("RunSitemap")
	// Reimport has a scraping job downloaded and imported again, replacing its records. It
	// completes when that is asked for.
	Reimport = nexus.NewOperationReference[ReimportInput, ReimportResult]("Reimport")
	// Status asks how the import of a scraping job stands. It needs a worker to answer:
	// without one it is retried until its ScheduleToCloseTimeout.
	Status = nexus.NewOperationReference[StatusInput, ImportStatus]("Status")
)

// RunSitemapInput says what to scrape, and what to wait for.
type RunSitemapInput struct {
	// SitemapID is the sitemap's in Web Scraper Cloud. Required.
	SitemapID int64 `json:"sitemap_id"`
	// Driver is "fast" for plain HTML, the default, or "fulljs" for a browser that runs
	// the pages' JavaScript.
	Driver string `json:"driver,omitempty"`
	// PageLoadDelay and RequestInterval are in milliseconds. Default 2000.
	PageLoadDelay   int64 `json:"page_load_delay,omitempty"`
	RequestInterval int64 `json:"request_interval,omitempty"`
	// Proxy is "0" for none, "1" for the default one, or a proxy's ID. Default: the
	// sitemap's.
	Proxy string `json:"proxy,omitempty"`
	// StartURLs, if there are any, take the place of the sitemap's.
	StartURLs []string `json:"start_urls,omitempty"`
	// CustomID comes back with the job and its records. It names this run: a job of the
	// sitemap that has it already is refused. "{run}" in it is replaced by a text that no
	// other run has. Default "{run}".
	CustomID string `json:"custom_id,omitempty"`

	// TimeLimit is how long to wait in all: a duration like "2h". Default: no limit.
	TimeLimit string `json:"time_limit,omitempty"`
	// IfNotFinished says what to do when a job ends as "failed" or "stopped". Its records
	// are imported in any case. Default Return.
	IfNotFinished Policy `json:"if_not_finished,omitempty"`
	// IfNeedsAttention says what to do when an import waits for a person, or, but for
	// Wait, ends without publishing all of the job. Default Wait.
	IfNeedsAttention Policy `json:"if_needs_attention,omitempty"`
	// MaxReruns is how many times the failed and empty URLs of a job are scraped again,
	// each time by a job of its own. Default 0.
	MaxReruns int `json:"max_reruns,omitempty"`
	// MinPageCredits is how many page credits the account has to have before a job is
	// created. Default: not looked at.
	MinPageCredits int64 `json:"min_page_credits,omitempty"`
}

// Policy says what a run of a sitemap does when something is not as it should be.
type Policy string

const (
	// Return ends with what there is.
	Return Policy = "return"
	// Wait waits until a person has put it right.
	Wait Policy = "wait"
	// Fail ends with an error.
	Fail Policy = "fail"
)

// RunSitemapResult is the sitemap's scraping job with its import.
type RunSitemapResult struct {
	ScrapedJob
	// Reruns are the jobs that have scraped failed and empty URLs again.
	Reruns []ScrapedJob `json:"reruns,omitempty"`
}

// ScrapedJob is a scraping job with its import.
type ScrapedJob struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	SitemapName   string `json:"sitemap_name,omitempty"`
	CustomID      string `json:"custom_id,omitempty"`
	// Status is the job's in Web Scraper Cloud: "finished", "stopped" or "failed".
	Status string `json:"status,omitempty"`
	// JobsScheduled to JobsEmpty count its pages.
	JobsScheduled int64 `json:"jobs_scheduled,omitempty"`
	JobsExecuted  int64 `json:"jobs_executed,omitempty"`
	JobsFailed    int64 `json:"jobs_failed,omitempty"`
	JobsEmpty     int64 `json:"jobs_empty,omitempty"`
	// Outcome says how the import stands, Reason why, in a sentence.
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	// ImportID and the counts are those of the published import, 0 for none.
	ImportID int64 `json:"import_id,omitempty"`
	sink.Counts
	// Bytes and SHA256 (lower-case hex) are those of the file it was made from.
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Problem says what was not done besides publishing the records.
	Problem string `json:"problem,omitempty"`
}

// Outcome says how the import of a scraped job stands.
type Outcome string

const (
	// Published: readers see all records of the job.
	Published Outcome = "published"
	// NeedsAttention: the import waits for a person; Reason has the question.
	NeedsAttention Outcome = "needs-attention"
	// Ended: the import has ended without publishing all of the job; Reason says why.
	Ended Outcome = "ended"
)

// ReimportInput is the input of the operation Reimport.
type ReimportInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
}

// ReimportResult says who imports.
type ReimportResult struct {
	WorkflowID string `json:"workflow_id"`
}

// StatusInput is the input of the operation Status.
type StatusInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
}

// Steps of an ImportStatus beside those of the import itself: "scraping", "downloading",
// "importing", "holding", "deleting in the cloud" and "needs-attention".
const (
	// StepClosed: the import has ended; Outcome says how.
	StepClosed = "closed"
	// StepUnknown: Temporal knows of no import of the job, or not any more.
	StepUnknown = "unknown"
)

// ImportStatus is the progress of an import, or its result when it has ended.
type ImportStatus struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	SitemapName   string `json:"sitemap_name,omitempty"`
	Step          string `json:"step"`
	// Attention is the question, when the step is "needs-attention".
	Attention string `json:"attention,omitempty"`
	// JobsExecuted of JobsScheduled pages have been scraped.
	JobsExecuted  int64 `json:"jobs_executed,omitempty"`
	JobsScheduled int64 `json:"jobs_scheduled,omitempty"`
	// Counts are those of the published import.
	sink.Counts
	// Outcome of a closed import is that of its workflow: "deleted", "kept", "unchanged",
	// "restored", "abandoned", "not-found", "filtered", "still-running", or "failed".
	// Reason says why.
	Outcome string `json:"outcome,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Problem says what was not done besides publishing the records.
	Problem string `json:"problem,omitempty"`
}

// RunSitemapProgress answers the query "progress" of a RunSitemap workflow.
type RunSitemapProgress struct {
	// ScrapingJobID is the job that it waits for, 0 until one is created.
	ScrapingJobID int64 `json:"scrapingjob_id,omitempty"`
	// Waits says in a few words what for, and Since since when.
	Waits string    `json:"waits,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Jobs are those that have been scraped and imported.
	Jobs []ScrapedJob `json:"jobs,omitempty"`
}

// Types of the errors with which RunSitemap fails, beside those of creating the job. All
// have a ScrapedJob as their details.
const (
	// ErrorNotFinished: the job has ended as "failed" or "stopped", and IfNotFinished is
	// Fail.
	ErrorNotFinished = "ScrapingJobNotFinished"
	// ErrorNeedsAttention: the import waits for a person, and IfNeedsAttention is Fail.
	ErrorNeedsAttention = "ImportNeedsAttention"
	// ErrorNotPublished: the import has ended without publishing all of the job, and
	// IfNeedsAttention is not Return.
	ErrorNotPublished = "ImportNotPublished"
	// ErrorCustomIDTaken: a job of the sitemap has the custom ID already.
	ErrorCustomIDTaken = "CustomIDTaken"
	// ErrorTimeLimit: TimeLimit is over.
	ErrorTimeLimit = "TimeLimit"
)
