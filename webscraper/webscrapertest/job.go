package webscrapertest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// The statuses of a scraping job, in order.
const (
	statusWaitingToBeScheduled = "waiting-to-be-scheduled"
	statusScheduling           = "scheduling"
	statusScheduled            = "scheduled"
	statusStarted              = "started"

	statusFinished = "finished"
	statusFailed   = "failed"  // more than half of the pages failed
	statusStopped  = "stopped" // by a person
	statusShelved  = "shelved" // of old jobs
)

var (
	runningStatuses  = []string{statusWaitingToBeScheduled, statusScheduling, statusScheduled, statusStarted}
	terminalStatuses = []string{statusFinished, statusFailed, statusStopped, statusShelved}
	drivers          = []string{"fast", "fulljs"}
)

func terminal(status string) bool { return slices.Contains(terminalStatuses, status) }

// Job defines a scraping job of the cloud. Every field is optional.
type Job struct {
	ID          int64    // 0: the next free one
	SitemapID   int64    // 0: the job's ID
	SitemapName string   // "": the sitemap's name, "sitemap-<SitemapID>" for a new one
	CustomID    string   // "": null in the API, absent from the webhook
	Status      string   // "": "finished"; see [Cloud.SetStatus] for the others
	Tags        []string // for the tag parameter of the list

	// Timeline makes the job go through its statuses by itself, from TimeCreated on,
	// instead of keeping Status.
	Timeline Timeline

	// Records is what the job has scraped by its end. Until then its download has a
	// part of them, as its Timeline or StoredRecordCount says.
	Records Records
	// Unparsed is the download with raw=true, if not Records.
	Unparsed Records
	// StoredRecordCount overrides the count that the job reports.
	StoredRecordCount *int64

	// Pages counts the job's pages. If zero, one page per stored record was scheduled
	// and executed.
	Pages           Pages
	ProblematicURLs []ProblematicURL

	TestRun          bool
	Scheduled        bool          // started by its sitemap's scheduler
	Driver           string        // "": "fast"
	Proxy            string        // as sent to the API, which does not return it
	StartURLs        []string      // likewise
	RequestInterval  time.Duration // 0: 2 s
	PageLoadDelay    time.Duration // 0: 2 s
	TimeCreated      time.Time     // zero: now
	ScrapingDuration time.Duration // with a Timeline: how long the job has been started
}

// Pages is how many pages ("jobs" in the API) a scraping job has visited.
type Pages struct {
	Scheduled, Executed, Failed, Empty, NoValue int64
}

// ProblematicURL is a page that a job got nothing from.
type ProblematicURL struct {
	URL  string `json:"url"`
	Type string `json:"type"` // "empty", "failed" or "no_value"
}

func validateStatus(status string) error {
	if terminal(status) || slices.Contains(runningStatuses, status) {
		return nil
	}
	return fmt.Errorf("status is %q, want one of %q or %q", status, runningStatuses, terminalStatuses)
}

func (j Job) withDefaults(now time.Time) Job {
	j.Status = cmp.Or(j.Status, statusFinished)
	j.Driver = cmp.Or(j.Driver, drivers[0])
	j.RequestInterval = cmp.Or(j.RequestInterval, 2*time.Second)
	j.PageLoadDelay = cmp.Or(j.PageLoadDelay, 2*time.Second)
	if j.TimeCreated.IsZero() {
		j.TimeCreated = now
	}
	return j
}

type job struct {
	Job
	deleted   bool
	continued *Records // what a continued job will have when it ends
	continues int64    // how often it was continued

	running bool      // on its timeline
	began   time.Time // when its timeline started
	scraped float64   // the part of its records scraped so far, 0 to 1
	// unannounced is the webhook to send at the end of the timeline.
	unannounced url.Values
}

func newJob(definition Job, now time.Time) *job {
	j := &job{Job: definition}
	if definition.Timeline.set() {
		j.running, j.began = true, definition.TimeCreated
		j.advance(now)
	}
	return j
}

func (j *job) setStatus(status string) {
	j.Status, j.running, j.scraped = status, false, 0
	if terminal(status) && j.continued != nil {
		j.setRecords(*j.continued)
		j.ProblematicURLs = nil
	}
}

func (j *job) setRecords(records Records) {
	j.Records, j.Unparsed, j.continued = records, Records{}, nil
	j.StoredRecordCount, j.Pages = nil, Pages{}
}

func (j *job) continueWith(records Records, now time.Time) {
	j.setStatus(statusScheduling)
	j.continued = &records
	j.continues++
	if j.Timeline.set() {
		j.running = true
		j.began = now.Add(-j.Timeline.WaitingToBeScheduled) // its next status is scheduling
	}
}

// complete reports whether a download has all of the job's records.
func (j *job) complete() bool { return terminal(j.Status) || j.continued != nil }

func (j *job) storedRecordCount() int64 {
	switch {
	case j.StoredRecordCount != nil:
		return *j.StoredRecordCount
	case j.complete():
		return j.Records.Count()
	default:
		return int64(j.scraped * float64(j.Records.Count()))
	}
}

// downloadable returns the records that a download has now.
func (j *job) downloadable(r *http.Request) Records {
	records := j.Records
	if r.URL.Query().Get("raw") == "true" && j.Unparsed.Count() > 0 {
		records = j.Unparsed
	}
	if j.complete() {
		return records
	}
	stored := j.storedRecordCount()
	if stored == 0 {
		return Records{}
	}
	return records.first(stored)
}

func (j *job) pages() Pages {
	pages := j.Pages
	if pages == (Pages{}) {
		stored := j.storedRecordCount()
		return Pages{Scheduled: stored, Executed: stored}
	}
	if j.running && !j.complete() {
		if j.Status == statusWaitingToBeScheduled || j.Status == statusScheduling {
			return Pages{}
		}
		for _, n := range []*int64{&pages.Executed, &pages.Failed, &pages.Empty, &pages.NoValue} {
			*n = int64(j.scraped * float64(*n))
		}
	}
	return pages
}

type jobObject struct {
	ID                int64   `json:"id"`
	CustomID          *string `json:"custom_id"`
	SitemapName       string  `json:"sitemap_name"`
	Status            string  `json:"status"`
	SitemapID         int64   `json:"sitemap_id"`
	TestRun           int     `json:"test_run"`
	JobsScheduled     int64   `json:"jobs_scheduled"`
	JobsExecuted      int64   `json:"jobs_executed"`
	JobsFailed        int64   `json:"jobs_failed"`
	JobsEmpty         int64   `json:"jobs_empty"`
	JobsNoValue       int64   `json:"jobs_no_value"`
	StoredRecordCount int64   `json:"stored_record_count"`
	RequestInterval   int64   `json:"request_interval"` // milliseconds
	PageLoadDelay     int64   `json:"page_load_delay"`  // milliseconds
	Driver            string  `json:"driver"`
	Scheduled         int     `json:"scheduled"`
	TimeCreated       int64   `json:"time_created"`      // Unix seconds
	ScrapingDuration  int64   `json:"scraping_duration"` // seconds
}

func (j *job) object() jobObject {
	pages := j.pages()
	return jobObject{
		ID:                j.ID,
		CustomID:          orNull(j.CustomID),
		SitemapName:       j.SitemapName,
		Status:            j.Status,
		SitemapID:         j.SitemapID,
		TestRun:           flag(j.TestRun),
		JobsScheduled:     pages.Scheduled,
		JobsExecuted:      pages.Executed,
		JobsFailed:        pages.Failed,
		JobsEmpty:         pages.Empty,
		JobsNoValue:       pages.NoValue,
		StoredRecordCount: j.storedRecordCount(),
		RequestInterval:   j.RequestInterval.Milliseconds(),
		PageLoadDelay:     j.PageLoadDelay.Milliseconds(),
		Driver:            j.Driver,
		Scheduled:         flag(j.Scheduled),
		TimeCreated:       j.TimeCreated.Unix(),
		ScrapingDuration:  int64(j.ScrapingDuration.Seconds()),
	}
}

// orNull returns text as the API spells it, null for none.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// flag returns a boolean as the API spells it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
