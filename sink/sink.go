package sink

import (
	"context"
	"errors"
	"slices"
	"time"
)

var (
	// ErrOvertaken is returned to an attempt that may no longer write, because a
	// later attempt at the same import has begun, or the import was abandoned.
	ErrOvertaken = errors.New("a later attempt at this import has begun; this one stops")
	// ErrSuperseded is returned when a later import of the same scraping job has
	// been requested: the earlier one must not replace it.
	ErrSuperseded = errors.New("a later import of this scraping job has been requested; this one stops")
)

// Question is what a person has to decide before readers see an import.
type Question struct {
	// Kind is one of the following. Questions of several kinds are asked one after
	// the other.
	Kind string `json:"kind"`
	// About is what the question is about, for a kind that may be asked about several
	// things.
	About string `json:"about,omitempty"`
	// Worse grows with what is wrong: who accepts it accepts nothing that is worse.
	Worse int64 `json:"worse,omitempty"`
	// Reason is one sentence, without a full stop.
	Reason string `json:"reason,omitempty"`
}

// Kinds of questions.
const (
	// TooFewRecords: what is published already is better, or was of the sitemap's last
	// job.
	TooFewRecords = "TooFewRecords"
	// ManyRowsMissing: more rows of a table would be deactivated than its mapping lets.
	ManyRowsMissing = "ManyRowsMissing"
	// EmptyColumns: mapped columns that had values, or have to have them, have none.
	EmptyColumns = "EmptyColumns"
	// FailedDataQuality: the job failed the API's data quality check.
	FailedDataQuality = "FailedDataQuality"
)

// AcceptedIn reports whether it is answered by one of the questions that a person has
// accepted.
func (q Question) AcceptedIn(accepted []Question) bool {
	return slices.ContainsFunc(accepted, func(a Question) bool {
		return a.Kind == q.Kind && a.About == q.About && q.Worse <= a.Worse
	})
}

// WithheldError is returned by [Import.Publish] when a person has to look at the
// import before readers see it: nothing is published. With the question among
// ImportRequest.Accepted it is not asked again.
type WithheldError struct {
	Question
}

func (e *WithheldError) Error() string { return e.Reason }

// RecordSink keeps records and the state of their imports. Its methods are safe
// for concurrent use, by processes on several machines too. Errors that are
// neither of this package nor PostgreSQL's are retried.
type RecordSink interface {
	// BeginImport begins an attempt at an import, or resumes the import that an
	// earlier attempt left unfinished, or has published. It abandons any other
	// unfinished import of the job. It returns [ErrSuperseded] when there is an
	// import of the job that was requested later.
	BeginImport(ctx context.Context, request ImportRequest) (Import, error)

	// PublishedImports returns the published imports of those of the scraping jobs
	// that have one, by the jobs' IDs, with those that were removed since.
	PublishedImports(ctx context.Context, scrapingJobIDs []int64) (map[int64]PublishedImport, error)
	// LastOfSitemap returns the import of the finished job of an account's sitemap that
	// was published last, nil when there is none.
	LastOfSitemap(ctx context.Context, account, sitemapName string) (*PublishedImport, error)
	// CountPublished counts the records that are there, not what the mark says of
	// them, of an import, provided that it is the published one of the scraping
	// job; otherwise published is false. The job is deleted in Web Scraper Cloud on
	// the strength of it.
	CountPublished(ctx context.Context, scrapingJobID, importID int64) (counts Counts, published bool, err error)
	// Publication returns the event of an import that is or was published, with its time
	// in UTC. A sink may omit the columns.
	Publication(ctx context.Context, importID int64) (*Publication, error)
	// SetAnnounced records that an import is announced: its follow-up and webhook delivery
	// were started. problem says in one sentence what was not, "" for nothing; it is added
	// to the import's problem, once.
	SetAnnounced(ctx context.Context, importID int64, problem string) error
	// SetCloudDeleted notes that the scraping job has been deleted in Web Scraper
	// Cloud. The first time noted stays, until another import is published.
	SetCloudDeleted(ctx context.Context, scrapingJobID int64) error

	// RemoveUnneeded removes what is kept of a scraping job's replaced and abandoned
	// imports. It calls progress several times a minute with the number of records
	// gone through.
	RemoveUnneeded(ctx context.Context, scrapingJobID int64, progress func(records int64)) error
	// JobsWithUnneededRecords returns the IDs of the scraping jobs for which
	// RemoveUnneeded has something to do, in ascending order.
	JobsWithUnneededRecords(ctx context.Context) ([]int64, error)
	// UnfinishedImports returns the imports that are neither published, replaced nor
	// abandoned, the oldest first.
	UnfinishedImports(ctx context.Context) ([]UnfinishedImport, error)
	// AbandonImport gives up an import whatever attempt holds it: from then on that
	// attempt is overtaken. An import that is not unfinished is left as it is,
	// without an error.
	AbandonImport(ctx context.Context, importID int64) error
}

// Import is one attempt at an import. It is used by one goroutine, but for Checkpoint,
// which is safe for concurrent use.
type Import interface {
	// ID identifies the import; it is positive, and the same for all attempts.
	ID() int64
	// Checkpoint is how far the import is kept, by earlier attempts too.
	Checkpoint() Checkpoint
	// Published says whether the import has been published, by an earlier attempt
	// too. Then only ID, Checkpoint and Problem are used.
	Published() bool

	// NewBatch returns an empty batch for CommitBatches.
	NewBatch() Batch
	// CommitBatches keeps the batches that next returns, each with the mark of its
	// end, in that order. It may have so many in hand at a time, but after any error
	// what is kept is the beginning of the file up to the mark, and no more.
	//
	// next is called by one goroutine at a time. It returns nil when there are no
	// more batches, or the error that ends the import; the batches in hand are kept
	// all the same. committed is called after each batch, in order; the batch is the
	// caller's again.
	//
	// It returns [ErrOvertaken] when this attempt may no longer write.
	CommitBatches(ctx context.Context, atATime int, next func(context.Context) (Batch, error), committed func(Batch)) error

	// Publish makes the import the one that readers see, in place of the one
	// before, in one step. It fails unless all of the file is kept. Publishing twice
	// is the same as once. It calls progress several times a minute.
	//
	// It returns [ErrOvertaken] when this attempt may no longer write, and a
	// [*WithheldError] when a person has to decide first.
	Publish(ctx context.Context, progress func()) error
	// Reasons returns why the first records, by their numbers, were rejected or left
	// unmapped, at most limit of them, no two with the same text.
	Reasons(ctx context.Context, limit int) ([]Reason, error)
	// Problem says in one sentence what Publish, of an earlier attempt too, could not
	// do besides publishing the records, "" if there is nothing to say.
	Problem() string
	// Abandon gives the import up: readers go on seeing what was published before.
	Abandon(ctx context.Context) error
}

// Batch collects records in memory until they are committed together.
type Batch interface {
	// Add takes one record, copying data; records come in the file's order. data is
	// most often a JSON object; one that the sink cannot keep is rejected with the
	// reason, now or when it is committed, and its neighbours are kept.
	Add(number int64, data []byte)
	// AddChanged is Add for a record that a hook or a name in it twice has changed:
	// if it is rejected, raw is kept, which is how it came.
	AddChanged(number int64, data, raw []byte)
	// Reject takes one record that cannot be imported, and Skip one that is not to
	// be, copying raw, with the reason for a person to read. Cut is Reject for a
	// record of which only the beginning is at hand.
	Reject(number int64, raw []byte, reason string)
	Cut(number int64, beginning []byte, reason string)
	Skip(number int64, raw []byte, reason string)
	// EndsAt sets the mark that the batch's commit sets: bytes is the offset in the
	// file after the batch, lastRecordNumber the number of the last record before
	// that. A batch without records moves the mark too.
	EndsAt(bytes, lastRecordNumber int64)
	// Len is the number of records taken, rejected and skipped ones included.
	Len() int
	// Bytes is the memory that the records take.
	Bytes() int
	// Reset empties the batch.
	Reset()
}

// ImportRequest identifies an import. Two requests that agree in the job's ID,
// WorkflowRunID, Pass, Bytes and SHA256 are attempts at the same import: the
// second one resumes the first.
type ImportRequest struct {
	// Job is the scraping job as it was when the file was downloaded.
	Job ScrapingJob
	// WorkflowRunID and Pass say who asked: the pass-th import of that run.
	WorkflowRunID string
	Pass          int
	// RequestedAt orders the imports of a scraping job, by the microsecond.
	RequestedAt time.Time
	// Bytes and SHA256 (lower-case hex) are those of the file. An import is
	// only ever resumed with the same file.
	Bytes  int64
	SHA256 string
	// CloudDeletedAt is when the job was deleted in Web Scraper Cloud, for a file
	// that did not come from there. It identifies nothing.
	CloudDeletedAt *time.Time
	// Restored is set when the file came from the archive because the job no longer exists
	// in Web Scraper Cloud. Not part of the import's identity.
	Restored bool
	// Announce makes the import unannounced from its publishing until
	// [RecordSink.SetAnnounced]. Not part of the import's identity.
	Announce bool
	// Accepted are the questions that a person has accepted. They identify nothing.
	Accepted []Question
	// Progress, if it is set, is called several times a minute while BeginImport or
	// the commit of a batch takes long, by any goroutine.
	Progress func()
}

// ScrapingJob is the part of the job object of Web Scraper Cloud that matters to
// an import. The status and the counts are the job's content: when one of them
// differs, the job has run again.
type ScrapingJob struct {
	ScrapingJobID int64 `json:"scrapingjob_id" db:"scrapingjob_id"`
	// Account is the name of the account of Web Scraper Cloud that has the job. A job
	// stays its account's.
	Account           string `json:"account,omitempty" db:"account"`
	SitemapID         int64  `json:"sitemap_id" db:"sitemap_id"`
	SitemapName       string `json:"sitemap_name" db:"sitemap_name"`
	CustomID          string `json:"custom_id,omitempty" db:"custom_id"`
	Status            string `json:"status" db:"status"`
	JobsScheduled     int64  `json:"jobs_scheduled" db:"jobs_scheduled"`
	JobsExecuted      int64  `json:"jobs_executed" db:"jobs_executed"`
	JobsFailed        int64  `json:"jobs_failed" db:"jobs_failed"`
	JobsEmpty         int64  `json:"jobs_empty" db:"jobs_empty"`
	JobsNoValue       int64  `json:"jobs_no_value" db:"jobs_no_value"`
	StoredRecordCount int64  `json:"stored_record_count" db:"stored_record_count"`
	// TimeCreated is when the job was created, in Unix seconds, ScrapingDuration how many
	// seconds it was scraped for; 0 if that is not known. They are no part of its content.
	TimeCreated      int64 `json:"time_created,omitempty" db:"time_created"`
	ScrapingDuration int64 `json:"scraping_duration,omitempty" db:"scraping_duration"`
}

// DefaultAccount is the name of the account where none is named.
const DefaultAccount = "default"

// IsNamed reports whether it is known to be another account than the default one.
func IsNamed(account string) bool { return account != "" && account != DefaultAccount }

// QualifiedSitemap is a sitemap's name among those of all accounts, "acme:my-sitemap", and
// the plain name where the account is the default one. No sitemap of Web Scraper Cloud has a
// colon in its name.
func QualifiedSitemap(account, name string) string {
	if IsNamed(account) {
		return account + ":" + name
	}
	return name
}

// SameContent reports whether the job has not run again in between. Its names may
// have changed without that.
func (j ScrapingJob) SameContent(other ScrapingJob) bool {
	j.Account, j.SitemapID, j.SitemapName, j.CustomID = other.Account, other.SitemapID, other.SitemapName, other.CustomID
	j.TimeCreated, j.ScrapingDuration = other.TimeCreated, other.ScrapingDuration
	return j == other
}

// Counts are those of an import's records.
type Counts struct {
	// Records are those that readers see.
	Records int64 `json:"records" db:"records"`
	// Rejected are those that could not be imported, Skipped those that were not
	// to be.
	Rejected int64 `json:"rejected" db:"rejected"`
	Skipped  int64 `json:"skipped,omitempty" db:"skipped"`
	// Unmapped are those of Records that have no row in the table that a mapping
	// fills, Cut those of Rejected of which only the beginning is kept.
	Unmapped int64 `json:"unmapped,omitempty" db:"unmapped"`
	Cut      int64 `json:"cut,omitempty" db:"cut"`
}

// All is how many records the file has held.
func (c Counts) All() int64 { return c.Records + c.Rejected + c.Skipped }

// Good is how many records are wherever they ought to be.
func (c Counts) Good() int64 { return c.Records - c.Unmapped }

// Bad is how many records were rejected or left unmapped.
func (c Counts) Bad() int64 { return c.Rejected + c.Unmapped }

// Reason says why a record, the first of those it is true of, was rejected or left
// unmapped.
type Reason struct {
	RecordNumber int64  `db:"record_number"`
	Reason       string `db:"reason"` // a sentence without a full stop
}

// Checkpoint is how far an import is kept.
type Checkpoint struct {
	// Bytes is the offset in the file up to which all is kept.
	Bytes int64 `db:"committed_bytes"`
	// LastRecordNumber is the number of the last record before that offset.
	LastRecordNumber int64 `db:"last_record_number"`
	// Counts are those of the records before that offset.
	Counts
}

// PublishedImport is the import of a scraping job that was published last, with the job
// as it was when the import was published.
type PublishedImport struct {
	ScrapingJob
	Counts
	ImportID    int64     `json:"import_id" db:"import_id"`
	Bytes       int64     `json:"bytes" db:"bytes"`
	SHA256      string    `json:"sha256" db:"sha256"` // lower-case hex of the file
	PublishedAt time.Time `json:"published_at" db:"published_at"`
	// CloudDeletedAt is when the job was deleted in the cloud, nil if it was not.
	CloudDeletedAt *time.Time `json:"cloud_deleted_at,omitempty" db:"cloud_deleted_at"`
	// RemovedAt is when its records were removed, because they were old: readers see none.
	// It is not imported again by itself. Nil for records that are there.
	RemovedAt *time.Time `json:"removed_at,omitempty" db:"removed_at"`
	// Unannounced is set until its follow-up and webhook delivery are started; see
	// ImportRequest.Announce.
	Unannounced bool `json:"unannounced,omitempty" db:"unannounced"`
}

// UnfinishedImport is an import that is neither published nor abandoned. The
// workflow run that asked for it works on it, or no longer exists.
type UnfinishedImport struct {
	ImportID      int64     `db:"import_id"`
	ScrapingJobID int64     `db:"scrapingjob_id"`
	WorkflowRunID string    `db:"workflow_run_id"`
	StartedAt     time.Time `db:"started_at"`
}
