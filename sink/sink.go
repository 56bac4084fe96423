package sink

import (
	"context"
	"errors"
	"slices"
	"time"
)

var (
	// ErrOvertaken is returned to an attempt that may no longer write, because a
	// later attempt at the same import has started or the import was abandoned.
	ErrOvertaken = errors.New("a later attempt at this import has started; this one stops")
	// ErrSuperseded is returned when a later import of the same scraping job has
	// been requested: the earlier one must not replace it.
	ErrSuperseded = errors.New("a later import of this scraping job has been requested; this one stops")
)

// Question is a decision that an operator must make before readers see an import.
type Question struct {
	// Kind is one of the kinds below. Several questions are asked one after the
	// other.
	Kind string `json:"kind"`
	// About is the subject, such as a table, for kinds that can have several.
	About string `json:"about,omitempty"`
	// Worse is how bad the problem is. Accepting the question also accepts anything
	// less bad, and nothing worse.
	Worse int64 `json:"worse,omitempty"`
	// Reason is one sentence, without a period.
	Reason string `json:"reason,omitempty"`
}

// Kinds of questions.
const (
	// TooFewRecords: the job's published import, or that of the sitemap's last job,
	// is better.
	TooFewRecords = "TooFewRecords"
	// ManyRowsMissing: more of a table's rows would be deactivated than its mapping
	// allows.
	ManyRowsMissing = "ManyRowsMissing"
	// EmptyColumns: mapped columns are empty that had values before or are required.
	EmptyColumns = "EmptyColumns"
	// FailedDataQuality: the job failed the API's data quality check.
	FailedDataQuality = "FailedDataQuality"
)

// AcceptedIn reports whether one of the accepted questions covers q.
func (q Question) AcceptedIn(accepted []Question) bool {
	return slices.ContainsFunc(accepted, func(a Question) bool {
		return a.Kind == q.Kind && a.About == q.About && q.Worse <= a.Worse
	})
}

// WithheldError is returned by [Import.Publish] when an operator must review the
// import first: nothing is published. A question in ImportRequest.Accepted is not
// asked again.
type WithheldError struct {
	Question
}

func (e *WithheldError) Error() string { return e.Reason }

// RecordSink stores records and the state of their imports. Its methods are safe
// for concurrent use, including by processes on several machines. Errors that come
// from neither this package nor PostgreSQL are retried.
type RecordSink interface {
	// BeginImport starts an attempt at an import. If an earlier attempt left the
	// import unfinished or published it, the attempt resumes that import. Any other
	// unfinished import of the job is abandoned. BeginImport returns [ErrSuperseded]
	// if a later import of the job has been requested.
	BeginImport(ctx context.Context, request ImportRequest) (Import, error)

	// PublishedImports returns the published imports of the scraping jobs, by job ID,
	// including imports whose records were removed since. Jobs without one are left
	// out.
	PublishedImports(ctx context.Context, scrapingJobIDs []int64) (map[int64]PublishedImport, error)
	// LastOfSitemap returns the most recently published import of a finished job of
	// the account's sitemap, nil if there is none.
	LastOfSitemap(ctx context.Context, account, sitemapName string) (*PublishedImport, error)
	// CountPublished counts the stored records of the import; it does not trust the
	// checkpoint's counts. published is false if the import is not the scraping job's
	// published one. The job is deleted in Web Scraper Cloud based on this count.
	CountPublished(ctx context.Context, scrapingJobID, importID int64) (counts Counts, published bool, err error)
	// Publication returns the event of an import that is or was published, with its time
	// in UTC. A sink may omit the columns.
	Publication(ctx context.Context, importID int64) (*Publication, error)
	// SetAnnounced records that an import is announced: its follow-up and webhook delivery
	// were started. problem is one sentence about what was not started, "" for none; it is
	// added to the import's problem once.
	SetAnnounced(ctx context.Context, importID int64, problem string) error
	// SetCloudDeleted records that the scraping job was deleted in Web Scraper Cloud.
	// Later calls do not change the time, until another import is published.
	SetCloudDeleted(ctx context.Context, scrapingJobID int64) error

	// RemoveUnneeded removes what is stored of a scraping job's replaced and abandoned
	// imports. It calls progress several times a minute with the number of records
	// processed so far.
	RemoveUnneeded(ctx context.Context, scrapingJobID int64, progress func(records int64)) error
	// JobsWithUnneededRecords returns the IDs of the scraping jobs for which
	// RemoveUnneeded has something to do, in ascending order.
	JobsWithUnneededRecords(ctx context.Context) ([]int64, error)
	// UnfinishedImports returns the imports that are not published, replaced or
	// abandoned, oldest first.
	UnfinishedImports(ctx context.Context) ([]UnfinishedImport, error)
	// AbandonImport abandons an unfinished import, whichever attempt holds it: that
	// attempt is overtaken from then on. Any other import is left unchanged, without
	// an error.
	AbandonImport(ctx context.Context, importID int64) error
}

// Import is one attempt at an import. Checkpoint is safe for concurrent use; all
// other methods are called by one goroutine.
type Import interface {
	// ID returns the import's ID: positive, and the same for all attempts.
	ID() int64
	// Checkpoint returns how much of the import is committed, by earlier attempts
	// too.
	Checkpoint() Checkpoint
	// Published reports whether the import is published, by this or an earlier
	// attempt. If so, only ID, Checkpoint and Problem are used.
	Published() bool

	// NewBatch returns an empty batch for CommitBatches.
	NewBatch() Batch
	// CommitBatches commits the batches that next returns, in order, each together
	// with the checkpoint at its end. It may work on up to atATime batches
	// concurrently, but after any error exactly the part of the file up to the
	// checkpoint is committed.
	//
	// next is called by one goroutine at a time. It returns nil after the last batch,
	// or the error that ends the import; batches it returned before are still
	// committed. committed is called after each batch, in order, and hands the batch
	// back to the caller.
	//
	// CommitBatches returns [ErrOvertaken] if this attempt may no longer write.
	CommitBatches(ctx context.Context, atATime int, next func(context.Context) (Batch, error), committed func(Batch)) error

	// Publish makes the import the one that readers see, replacing the previous one
	// in one step. It fails unless all of the file is committed, and is idempotent.
	// It calls progress several times a minute.
	//
	// Publish returns [ErrOvertaken] if this attempt may no longer write, and a
	// [*WithheldError] if an operator must decide first.
	Publish(ctx context.Context, progress func()) error
	// Reasons returns why records were rejected or left unmapped, by record number,
	// at most limit of them and each text once.
	Reasons(ctx context.Context, limit int) ([]Reason, error)
	// Problem says in one sentence what Publish failed to do in addition to publishing
	// the records, in this or an earlier attempt; "" if nothing failed.
	Problem() string
	// Abandon abandons the import: readers keep seeing what was published before.
	Abandon(ctx context.Context) error
}

// Batch collects records in memory until they are committed together.
type Batch interface {
	// Add adds a record and copies data. Records come in file order. data is usually
	// a JSON object; a record that the sink cannot store is rejected with the reason,
	// now or at commit, and the other records of the batch are kept.
	Add(number int64, data []byte)
	// AddChanged is Add for a record that was changed by a hook or to make its names
	// unique. If it is rejected, raw, the original, is kept.
	AddChanged(number int64, data, raw []byte)
	// Reject adds a record that cannot be imported, Skip one that a hook left out.
	// Cut is Reject for a record that is only available in part. All copy the record.
	// reason is for operators: any text, of which the sink keeps what it can store.
	Reject(number int64, raw []byte, reason string)
	Cut(number int64, beginning []byte, reason string)
	Skip(number int64, raw []byte, reason string)
	// EndsAt sets the checkpoint that is committed with the batch: bytes is the file
	// offset after the batch, lastRecordNumber the number of the last record before
	// it. A batch without records moves the checkpoint too.
	EndsAt(bytes, lastRecordNumber int64)
	// Len returns the number of records, including rejected and skipped ones.
	Len() int
	// Bytes returns the memory that the records take.
	Bytes() int
	// Reset empties the batch.
	Reset()
}

// ImportRequest identifies an import. Two requests with the same job ID,
// WorkflowRunID, Pass, Bytes and SHA256 are attempts at the same import: the
// second resumes the first.
type ImportRequest struct {
	// Job is the scraping job as it was when the file was downloaded.
	Job ScrapingJob
	// WorkflowRunID and Pass identify the requester: the pass-th import of that run.
	WorkflowRunID string
	Pass          int
	// RequestedAt orders the imports of a scraping job, with microsecond precision.
	RequestedAt time.Time
	// Bytes and SHA256 (lower-case hex) are those of the file. An import is
	// only ever resumed with the same file.
	Bytes  int64
	SHA256 string
	// CloudDeletedAt is when the job was deleted in Web Scraper Cloud, for a file
	// that did not come from there. Not part of the import's identity.
	CloudDeletedAt *time.Time
	// Restored is set when the file came from the archive because the job no longer exists
	// in Web Scraper Cloud. Not part of the import's identity.
	Restored bool
	// Announce leaves the published import unannounced until
	// [RecordSink.SetAnnounced]. Not part of the import's identity.
	Announce bool
	// Accepted are the questions that an operator has accepted. Not part of the
	// import's identity.
	Accepted []Question
	// Progress, if set, is called several times a minute during a slow BeginImport or
	// batch commit, by any goroutine.
	Progress func()
}

// ScrapingJob is the part of Web Scraper Cloud's job object that matters to an
// import. The status and the counts are the job's content: if one of them differs,
// the job has run again.
type ScrapingJob struct {
	ScrapingJobID int64 `json:"scrapingjob_id" db:"scrapingjob_id"`
	// Account is the name of the job's account in Web Scraper Cloud. It never changes.
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
	// TimeCreated is when the job was created, in Unix seconds; ScrapingDuration is how long
	// it was scraped, in seconds. Both are 0 if unknown and not part of the content.
	TimeCreated      int64 `json:"time_created,omitempty" db:"time_created"`
	ScrapingDuration int64 `json:"scraping_duration,omitempty" db:"scraping_duration"`
}

// DefaultAccount is the account's name if none is given.
const DefaultAccount = "default"

// IsNamed reports whether the account is known not to be the default account.
func IsNamed(account string) bool { return account != "" && account != DefaultAccount }

// QualifiedSitemap returns a sitemap name that is unique across accounts, such as
// "acme:my-sitemap"; for the default account it is the plain name. Sitemap names in Web
// Scraper Cloud have no colons.
func QualifiedSitemap(account, name string) string {
	if IsNamed(account) {
		return account + ":" + name
	}
	return name
}

// SameContent reports whether the job has not run again in between. Changed names do
// not count.
func (j ScrapingJob) SameContent(other ScrapingJob) bool {
	j.Account, j.SitemapID, j.SitemapName, j.CustomID = other.Account, other.SitemapID, other.SitemapName, other.CustomID
	j.TimeCreated, j.ScrapingDuration = other.TimeCreated, other.ScrapingDuration
	return j == other
}

// Counts counts an import's records.
type Counts struct {
	// Records is the number of records that readers see.
	Records int64 `json:"records" db:"records"`
	// Rejected counts records that cannot be imported, Skipped those that a hook left
	// out.
	Rejected int64 `json:"rejected" db:"rejected"`
	Skipped  int64 `json:"skipped,omitempty" db:"skipped"`
	// Unmapped counts the Records without a row in the mapped table, Cut the Rejected
	// that are kept only in part.
	Unmapped int64 `json:"unmapped,omitempty" db:"unmapped"`
	Cut      int64 `json:"cut,omitempty" db:"cut"`
}

// All returns the number of records in the file.
func (c Counts) All() int64 { return c.Records + c.Rejected + c.Skipped }

// Good returns the number of records that readers see and that are mapped, if there is a
// mapping.
func (c Counts) Good() int64 { return c.Records - c.Unmapped }

// Bad returns the number of records that were rejected or left unmapped.
func (c Counts) Bad() int64 { return c.Rejected + c.Unmapped }

// Reason is why a record was rejected or left unmapped; the record is the first one
// with this reason.
type Reason struct {
	RecordNumber int64  `db:"record_number"`
	Reason       string `db:"reason"` // a sentence without a period
}

// Checkpoint is how much of an import is committed.
type Checkpoint struct {
	// Bytes is the file offset up to which everything is committed.
	Bytes int64 `db:"committed_bytes"`
	// LastRecordNumber is the number of the last record before that offset.
	LastRecordNumber int64 `db:"last_record_number"`
	// Counts covers the records before that offset.
	Counts
}

// PublishedImport is a scraping job's published import, with the job as it was when
// the import was published.
type PublishedImport struct {
	ScrapingJob
	Counts
	ImportID    int64     `json:"import_id" db:"import_id"`
	Bytes       int64     `json:"bytes" db:"bytes"`
	SHA256      string    `json:"sha256" db:"sha256"` // lower-case hex of the file
	PublishedAt time.Time `json:"published_at" db:"published_at"`
	// CloudDeletedAt is when the job was deleted in the cloud, nil if it was not.
	CloudDeletedAt *time.Time `json:"cloud_deleted_at,omitempty" db:"cloud_deleted_at"`
	// RemovedAt is when retention removed the records, nil if it has not. Readers see
	// none of them, and the job is not re-imported automatically.
	RemovedAt *time.Time `json:"removed_at,omitempty" db:"removed_at"`
	// Unannounced is set until the follow-up and webhook delivery are started; see
	// ImportRequest.Announce.
	Unannounced bool `json:"unannounced,omitempty" db:"unannounced"`
}

// UnfinishedImport is an import that is neither published nor abandoned. Its workflow
// run is working on it or no longer exists.
type UnfinishedImport struct {
	ImportID      int64     `db:"import_id"`
	ScrapingJobID int64     `db:"scrapingjob_id"`
	WorkflowRunID string    `db:"workflow_run_id"`
	StartedAt     time.Time `db:"started_at"`
}
