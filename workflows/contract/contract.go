// Package contract has the inputs and results of the workflow RunSitemap and of the Nexus
// service. Callers import it without the importer's code.
package contract

import (
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"

	"github.com/scrapehaul/scrapehaul/sink"
)

// ServiceName is the Nexus service that every importing worker serves on its task queue.
const ServiceName = "scrapehaul"

// The operations of the service.
var (
	// RunSitemap scrapes a sitemap, and completes when the records are published. One
	// operation is one scrape, however often its start is retried. After a cancellation,
	// the scraping job and its import continue.
	RunSitemap = nexus.NewOperationReference[RunSitemapInput, RunSitemapResult]("RunSitemap")
	// Reimport downloads and imports a scraping job again, replacing its records. It
	// completes as soon as the request is recorded, not when the import ends.
	Reimport = nexus.NewOperationReference[ReimportInput, ReimportResult]("Reimport")
	// Status returns the state of a scraping job's import. It needs a running worker, and is
	// retried until its ScheduleToCloseTimeout.
	Status = nexus.NewOperationReference[StatusInput, ImportStatus]("Status")
)

// RunSitemapInput says what to scrape and what to wait for.
type RunSitemapInput struct {
	// Account is the name of the account of Web Scraper Cloud that has the sitemap. Default:
	// the installation's default account.
	Account string `json:"account,omitempty"`
	// SitemapID is the sitemap's ID in Web Scraper Cloud. Required.
	SitemapID int64 `json:"sitemap_id"`
	// Driver is "fast" for plain HTML, the default, or "fulljs" for a browser that runs
	// the pages' JavaScript.
	Driver string `json:"driver,omitempty"`
	// PageLoadDelay and RequestInterval are in milliseconds. 0 is the default, 2000.
	PageLoadDelay   int64 `json:"page_load_delay,omitempty"`
	RequestInterval int64 `json:"request_interval,omitempty"`
	// Proxy is "0" for none, "1" for the default one, or a proxy's ID. Default: the
	// sitemap's.
	Proxy string `json:"proxy,omitempty"`
	// StartURLs, if any, replace the sitemap's.
	StartURLs []string `json:"start_urls,omitempty"`
	// CustomID is the job's custom_id, and identifies this run: if another job of the
	// sitemap already has it, the run fails. "{run}" in it is replaced by text unique to
	// the run. Default "{run}".
	CustomID string `json:"custom_id,omitempty"`
	// Resume continues with a job of the sitemap that already has the custom ID, instead of
	// failing.
	Resume bool `json:"resume,omitempty"`

	// TimeLimit is the limit of the entire run: a duration like "2h". Default: no limit.
	TimeLimit string `json:"time_limit,omitempty"`
	// IfNotFinished says what to do when a job ends as "failed" or "stopped". Its records
	// are imported anyway. With Wait, the run checks once an hour whether the job has been
	// continued. Default Return.
	IfNotFinished Policy `json:"if_not_finished,omitempty"`
	// IfNeedsAttention says what to do when an import needs attention. It also applies
	// to an import that ends without publishing all of the job, where Wait means Fail.
	// Default Wait.
	IfNeedsAttention Policy `json:"if_needs_attention,omitempty"`
	// MaxReruns is how many times to scrape a job's failed and empty URLs again, each time
	// in a new job. Default 0.
	MaxReruns int `json:"max_reruns,omitempty"`
	// MinPageCredits is the number of page credits that the account must have before a job
	// is created. Default: not checked.
	MinPageCredits int64 `json:"min_page_credits,omitempty"`
}

// Policy says what RunSitemap does about an unfinished job or an import that needs attention.
type Policy string

const (
	// Return completes with the result so far.
	Return Policy = "return"
	// Wait waits until an operator has fixed it.
	Wait Policy = "wait"
	// Fail fails with an error.
	Fail Policy = "fail"
)

// RunSitemapResult is the sitemap's scraping job with its import.
type RunSitemapResult struct {
	ScrapedJob
	// Reruns are the jobs that scraped failed and empty URLs again, in order.
	Reruns []ScrapedJob `json:"reruns,omitempty"`
}

// ScrapedJob is a scraping job with its import.
type ScrapedJob struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account,omitempty"`
	SitemapName   string `json:"sitemap_name,omitempty"`
	CustomID      string `json:"custom_id,omitempty"`
	// Status is the job's in Web Scraper Cloud: "finished", "stopped" or "failed".
	Status string `json:"status,omitempty"`
	// JobsScheduled, JobsExecuted, JobsFailed and JobsEmpty count pages.
	JobsScheduled int64 `json:"jobs_scheduled,omitempty"`
	JobsExecuted  int64 `json:"jobs_executed,omitempty"`
	JobsFailed    int64 `json:"jobs_failed,omitempty"`
	JobsEmpty     int64 `json:"jobs_empty,omitempty"`
	// Outcome is the state of the import; Reason says why, in a sentence.
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	// ImportID and Counts are the published import's, 0 if none.
	ImportID int64 `json:"import_id,omitempty"`
	sink.Counts
	// Bytes and SHA256 (lower-case hex) describe the imported file.
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// Problem says what failed apart from publishing, such as a follow-up.
	Problem string `json:"problem,omitempty"`
}

// Outcome is the state of a scraped job's import.
type Outcome string

const (
	// Published: readers see the job's records.
	Published Outcome = "published"
	// NeedsAttention: the import waits for an operator; Reason has the question.
	NeedsAttention Outcome = "needs-attention"
	// Ended: the import ended without publishing all of the job; Reason says why.
	Ended Outcome = "ended"
)

// ReimportInput is the input of the operation Reimport.
type ReimportInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	// Account has the job. Default: that of its published import, or else the default account.
	Account string `json:"account,omitempty"`
}

// ReimportResult names the workflow that imports.
type ReimportResult struct {
	WorkflowID string `json:"workflow_id"`
}

// StatusInput is the input of the operation Status.
type StatusInput struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
}

// Steps of an ImportStatus, in addition to those of a running import: "scraping",
// "downloading", "importing", "holding", "deleting in the cloud" and "needs-attention".
const (
	// StepClosed: the import has ended; Outcome says how.
	StepClosed = "closed"
	// StepUnknown: Temporal has no import of the job, or no longer has it.
	StepUnknown = "unknown"
)

// ImportStatus is the progress of a running import, or the result of a closed one.
type ImportStatus struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	SitemapName   string `json:"sitemap_name,omitempty"`
	Step          string `json:"step"`
	// Attention is the question to an operator, if the step is "needs-attention".
	Attention string `json:"attention,omitempty"`
	// JobsExecuted of JobsScheduled pages have been scraped.
	JobsExecuted  int64 `json:"jobs_executed,omitempty"`
	JobsScheduled int64 `json:"jobs_scheduled,omitempty"`
	// Counts are the published import's.
	sink.Counts
	// Outcome is that of a closed import's workflow: "deleted", "kept", "unchanged",
	// "restored", "abandoned", "not-found", "filtered", "refused", "still-running", or "failed".
	// Reason says why.
	Outcome string `json:"outcome,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// Problem says what failed apart from publishing, such as a follow-up.
	Problem string `json:"problem,omitempty"`
}

// RunSitemapProgress answers the query "progress" of a RunSitemap workflow.
type RunSitemapProgress struct {
	// ScrapingJobID is the job it waits for, 0 until one is created.
	ScrapingJobID int64 `json:"scrapingjob_id,omitempty"`
	// Waits says in a few words what it waits for, "" at its end, and Since is when that began.
	Waits string    `json:"waits,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Jobs are those scraped and imported so far.
	Jobs []ScrapedJob `json:"jobs,omitempty"`
}

// Types of the errors that RunSitemap fails with, in addition to those of creating the
// job. Their details are a ScrapedJob.
const (
	// ErrorNotFinished: the job ended as "failed" or "stopped", and IfNotFinished is Fail.
	ErrorNotFinished = "ScrapingJobNotFinished"
	// ErrorNeedsAttention: the import needs attention, and IfNeedsAttention is Fail.
	ErrorNeedsAttention = "ImportNeedsAttention"
	// ErrorNotPublished: the import ended without publishing all of the job, and
	// IfNeedsAttention is Wait or Fail.
	ErrorNotPublished = "ImportNotPublished"
	// ErrorCustomIDTaken: another job of the sitemap has the custom ID.
	ErrorCustomIDTaken = "CustomIDTaken"
	// ErrorTimeLimit: the run exceeded TimeLimit.
	ErrorTimeLimit = "TimeLimit"
)
