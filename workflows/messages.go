package workflows

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/scrapehaul/scrapehaul/activities"
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
	// ReconciliationSignal says that reconciliation has found the job ended and
	// not published as it is. Its payload is the job, an sink.ScrapingJob: a
	// run that is at work on this very content takes no notice.
	ReconciliationSignal = "reconciliation"
	// AbandonSignal closes an import that needs attention or holds; the job stays
	// in the cloud. Like the following ones it has no payload, and does nothing
	// in a state where it makes no sense.
	AbandonSignal = "abandon"
	// AcceptSignal goes on, deletion included, with an import that needs
	// attention because of rejected records or a count that does not match.
	AcceptSignal = "accept"
	// KeepSignal closes an import that needs attention or holds, as complete, and
	// keeps this run from ever deleting the job in the cloud.
	KeepSignal = "keep"
	// DeleteNowSignal ends the hold.
	DeleteNowSignal = "delete-now"
	// ProgressQuery answers with a Progress.
	ProgressQuery = "progress"
)

// CloudTaskQueue is the task queue, beside the one that workers listen on, of
// the small calls to the API of Web Scraper Cloud. Temporal hands its tasks out
// no faster than the account's API budget allows, to all workers together.
func CloudTaskQueue(taskQueue string) string { return taskQueue + "@webscraper-cloud" }

// WorkflowID is the ID of the workflow that imports a scraping job: the job's
// own ID in decimal, so that any number of notifications is one workflow.
func WorkflowID(scrapingJobID int64) string {
	return strconv.FormatInt(scrapingJobID, 10)
}

// Notification is what Web Scraper Cloud sends when a scraping job has
// finished, stopped or failed.
type Notification struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Status        string `json:"status"`
	SitemapID     int64  `json:"sitemap_id"`
	SitemapName   string `json:"sitemap_name"`
	CustomID      string `json:"custom_id,omitempty"`
}

// ImportScrapingJobInput is the input of ImportScrapingJob.
type ImportScrapingJobInput struct {
	// ScrapingJobID may be left out: it is the workflow's ID.
	ScrapingJobID int64    `json:"scrapingjob_id"`
	Settings      Settings `json:"settings"`
}

// Settings shape an import. They travel in the workflow's input from whoever
// starts it. The zero value of each stands for its default.
type Settings struct {
	// HoldBeforeDelete is how long the job stays in the cloud after its
	// verified import: a duration like "24h", "0" for none, "never" to keep it
	// for good. Default "24h".
	HoldBeforeDelete string `json:"hold_before_delete,omitempty"`
	// SourceFormat is which of the job's exports is imported: "json" or "csv".
	// Default "json".
	SourceFormat string `json:"source_format,omitempty"`
	// SourceRaw is for the export without the changes of the sitemap's parser.
	SourceRaw bool `json:"source_raw,omitempty"`
	// BatchRecords is how many records are committed at a time. Default 5000.
	BatchRecords int `json:"batch_records,omitempty"`
	// MaxRecordBytes is the size over which a record is rejected. Default
	// 16777216 (16 MiB).
	MaxRecordBytes int `json:"max_record_bytes,omitempty"`
	// MaxRejected is how many rejected records an import may have and still count
	// as complete. Default 0.
	MaxRejected int `json:"max_rejected,omitempty"`
	// MinRecordsPercent is how many records a finished job has to have to be
	// published without being asked about, in percent of those that were published
	// of its sitemap last. Default 0: any number.
	MinRecordsPercent int `json:"min_records_percent,omitempty"`
	// AttentionTimeout is how long an import that needs attention waits for a
	// person's signal before it fails: a duration. Default "168h" (7 days).
	AttentionTimeout string `json:"attention_timeout,omitempty"`
	// WorkerGoneAfter is how long the worker that holds the downloaded file may
	// leave a step waiting before the import begins again on another: a
	// duration. Default "5m".
	WorkerGoneAfter string `json:"worker_gone_after,omitempty"`
	// HeartbeatTimeout is how long a download or an import may be silent before
	// it is given to another attempt: a duration. Default "30s".
	HeartbeatTimeout string `json:"heartbeat_timeout,omitempty"`
	// SearchAttributes says that the namespace has those of SearchAttributes, so
	// that imports set them. A start that sets others is refused.
	SearchAttributes bool `json:"search_attributes,omitempty"`
	// Filter is what a job has to pass to be imported without being asked for by
	// hand. A re-import takes no notice of it. Default: all pass.
	Filter activities.Filter `json:"filter,omitzero"`
}

// Defaults of Settings.
const (
	DefaultHoldBeforeDelete = "24h"
	DefaultSourceFormat     = activities.FormatJSON
	DefaultBatchRecords     = 5000
	DefaultMaxRecordBytes   = 16 << 20
	DefaultAttentionTimeout = "168h"
	DefaultWorkerGoneAfter  = "5m"
	DefaultHeartbeatTimeout = "30s"
	// MaxBatchRecords and MaxMaxRecordBytes are the most that Settings allow.
	MaxBatchRecords   = 1_000_000
	MaxMaxRecordBytes = 128 << 20
	// NeverDelete is the HoldBeforeDelete that keeps the job in the cloud.
	NeverDelete = "never"
)

// settings are Settings in force: defaults filled in, durations parsed.
type settings struct {
	hold              time.Duration
	neverDelete       bool
	source            activities.Source
	batchRecords      int
	maxRecordBytes    int
	maxRejected       int64
	minRecordsPercent int
	attentionTimeout  time.Duration
	workerGoneAfter   time.Duration
	heartbeatTimeout  time.Duration
	searchAttributes  bool
	filter            activities.Filter
}

// Validate returns one error for each setting that is not valid, naming it, its
// value and what is expected.
func (s Settings) Validate() []error {
	_, problems := s.parse()
	return problems
}

func (s Settings) parse() (settings, []error) {
	var problems []error
	duration := func(name, value, byDefault string, least time.Duration) time.Duration {
		if value == "" {
			value = byDefault
		}
		d, err := time.ParseDuration(value)
		if err != nil || d < least {
			problems = append(problems, fmt.Errorf("%s is %q: want a duration like %q, at least %s", name, value, byDefault, least))
		}
		return d
	}
	number := func(name string, value, byDefault, least, most int) int {
		if value == 0 {
			value = byDefault
		}
		if value < least || value > most {
			problems = append(problems, fmt.Errorf("%s is %d: want a number from %d to %d", name, value, least, most))
		}
		return value
	}
	in := settings{neverDelete: s.HoldBeforeDelete == NeverDelete}
	if !in.neverDelete {
		in.hold = duration("hold_before_delete", s.HoldBeforeDelete, DefaultHoldBeforeDelete, 0)
	}
	var known bool
	if in.source, known = activities.NewSource(s.SourceFormat, s.SourceRaw); !known {
		problems = append(problems, fmt.Errorf("source_format is %q: want %q or %q", s.SourceFormat, activities.FormatJSON, activities.FormatCSV))
	}
	in.batchRecords = number("batch_records", s.BatchRecords, DefaultBatchRecords, 1, MaxBatchRecords)
	in.maxRecordBytes = number("max_record_bytes", s.MaxRecordBytes, DefaultMaxRecordBytes, 1, MaxMaxRecordBytes)
	in.maxRejected = int64(number("max_rejected", s.MaxRejected, 0, 0, math.MaxInt))
	in.minRecordsPercent = number("min_records_percent", s.MinRecordsPercent, 0, 0, 100)
	in.attentionTimeout = duration("attention_timeout", s.AttentionTimeout, DefaultAttentionTimeout, time.Second)
	in.workerGoneAfter = duration("worker_gone_after", s.WorkerGoneAfter, DefaultWorkerGoneAfter, time.Second)
	in.searchAttributes = s.SearchAttributes
	in.filter = s.Filter
	problems = append(problems, s.Filter.Validate()...)
	in.heartbeatTimeout = duration("heartbeat_timeout", s.HeartbeatTimeout, DefaultHeartbeatTimeout, time.Second)
	return in, problems
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
)

// ImportScrapingJobResult is the result of ImportScrapingJob. Its counts are
// those of the last import that the workflow published or found published.
type ImportScrapingJobResult struct {
	ScrapingJobID int64 `json:"scrapingjob_id"`
	Records       int64 `json:"records"`
	Rejected      int64 `json:"rejected"`
	Skipped       int64 `json:"skipped,omitempty"` // by a record hook
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
	StepDownload Step = "downloading"
	StepImport   Step = "importing"
	StepHold     Step = "holding"
	StepDelete   Step = "deleting in the cloud"
	StepDone     Step = "done"
	// StepNeedsAttention stands apart: the import waits for a person's signal.
	StepNeedsAttention Step = "needs-attention"
)

// Progress answers the query "progress". The records of an import under way
// are in the heartbeat of its activity.
type Progress struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	SitemapName   string `json:"sitemap_name,omitempty"`
	Status        string `json:"status,omitempty"`
	Step          Step   `json:"step"`
	// StoredRecordCount is how many records the job has by its own account.
	StoredRecordCount int64 `json:"stored_record_count"`
	// Records, Rejected and Skipped are those of the published import.
	Records  int64 `json:"records"`
	Rejected int64 `json:"rejected"`
	Skipped  int64 `json:"skipped,omitempty"`
	// Problem is that of the result.
	Problem string `json:"problem,omitempty"`
	// Attention says what is wrong, and which signals continue, when the step is
	// StepNeedsAttention.
	Attention string `json:"attention,omitempty"`
	// Signals are those that make sense now, all of them without input.
	Signals []string `json:"signals,omitempty"`
	// DeleteAfter is when the hold ends.
	DeleteAfter *time.Time `json:"delete_after,omitempty"`
	// FailsAfter is when the wait for a person ends.
	FailsAfter *time.Time `json:"fails_after,omitempty"`
}
