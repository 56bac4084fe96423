package activities

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Types of the errors that activities return, as seen in the Temporal UI.
const (
	// errorRateLimited: the API's rate limit is used up; retried when the API allows it.
	errorRateLimited = "RateLimited"
	// errorCloud: Web Scraper Cloud failed or is unreachable; retried.
	errorCloud = "CloudUnavailable"
	// errorRequestRefused: Web Scraper Cloud permanently refuses the request. Not retried.
	errorRequestRefused = "RequestRefused"
	// ErrorTokenRefused: Web Scraper Cloud refuses the account's API token, which an
	// operator must fix. ErrorUnknownAccount: the workers have no token for the account.
	ErrorTokenRefused   = "TokenRefused"
	ErrorUnknownAccount = "UnknownAccount"
	// ErrorJobGone: the job no longer exists in Web Scraper Cloud. The import must start
	// over with the description, which decides what to do.
	ErrorJobGone = "JobGone"
	// errorDatabase: PostgreSQL failed or is unreachable; retried.
	errorDatabase = "DatabaseUnavailable"
	// errorDatabaseRefuses: PostgreSQL permanently refuses the statement, for example for
	// a missing table or privilege. A possible race is retried a few times.
	errorDatabaseRefuses = "DatabaseRefuses"
	// ErrorDiskFull: the spool's file system is full; retried. The import must start over
	// if the worker has no room to resume its download.
	ErrorDiskFull = "DiskFull"
	// errorSpool: the spool is permanently unreadable or not writable, for example for a
	// missing permission. Retried a few times, as another worker may have a usable one.
	errorSpool = "SpoolUnusable"
	// errorWorkerStopping: the worker is stopping, or its process has ended; retried.
	errorWorkerStopping = "WorkerStopping"
	// errorWorkerBusy: the worker has no slot for a download that any worker may
	// take; retried.
	errorWorkerBusy = "WorkerBusy"
	// ErrorFileGone: the spool file is missing or has changed. The import must start over
	// with the download.
	ErrorFileGone = "FileGone"
	// ErrorFileUnreadable: the downloaded file cannot be read at all, for example because
	// of its encoding. Not retried.
	ErrorFileUnreadable = "FileUnreadable"
	// ErrorSuperseded: a later import of the job was requested. The import must start
	// over, if it is still wanted.
	ErrorSuperseded = "Superseded"
	// errorArchive: the archive failed or is unreachable; retried, unless it refuses.
	errorArchive = "ArchiveUnavailable"
	// errorArchiveCorrupt: an archived file has changed since it was written. Not retried.
	errorArchiveCorrupt = "ArchiveCorrupt"
	// ErrorMappedTable: PostgreSQL permanently refuses to write records to a mapped
	// table, for example because another row has the key. Not retried.
	ErrorMappedTable = "MappedTableRefuses"
	// errorRecordHook: the host's record hook failed; retried, after a panic only a few
	// times.
	errorRecordHook = "RecordHookFailed"
	// ErrorRejectedRecords and ErrorCountMismatch: the deletion rule, WhyKeep, requires an
	// operator's decision.
	ErrorRejectedRecords = "RejectedRecords"
	ErrorCountMismatch   = "CountMismatch"
	// errorPageCredits: the account has fewer page credits than MinPageCredits. Not retried.
	errorPageCredits = "TooFewPageCredits"
	// errorNotCreated: creating a scraping job risks a second one, or a rerun has no URLs
	// to read. Not retried.
	errorNotCreated = "NotCreated"
	// ErrorOther: anything else; retried.
	ErrorOther = "Other"
)

// ErrorKinds returns all of these types and the sink's kinds of questions.
func ErrorKinds() []string {
	return []string{
		errorRateLimited, errorCloud, errorRequestRefused, ErrorTokenRefused, ErrorUnknownAccount, ErrorJobGone, errorDatabase, errorDatabaseRefuses, ErrorDiskFull,
		errorSpool, errorWorkerStopping, errorWorkerBusy, ErrorFileGone, ErrorFileUnreadable, ErrorSuperseded, errorArchive, errorArchiveCorrupt, ErrorMappedTable, errorRecordHook,
		errorPageCredits, errorNotCreated, ErrorRejectedRecords, ErrorCountMismatch, ErrorOther, sink.TooFewRecords, sink.ManyRowsMissing, sink.EmptyColumns, sink.FailedDataQuality,
	}
}

var (
	errDiskFull       = errors.New("the spool's disk is full")
	errFileGone       = errors.New("the spool file is gone")
	errHandedBack     = errors.New("the download starts over, on any worker")
	errWorkerBusy     = errors.New("the worker has no free slot (MAX_CONCURRENT_IMPORTS); the download goes to a worker that has one")
	errWorkerStopping = errors.New("the worker is stopping; another attempt will resume from here")
	errProcessEnded   = errors.New("the worker process that ran this attempt has ended; another attempt will resume from here")
)

// maxMessage keeps an error's text well below Temporal's limit for a payload.
const maxMessage = 2000

// classify converts err into the error that Temporal gets, which says whether and when to
// retry.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, cause)) {
		if !errors.Is(cause, worker.ErrWorkerShutdown) {
			return ctx.Err() // canceled by Temporal
		}
		err = errWorkerStopping
	}
	kind, v, delay := judge(err)
	options := temporal.ApplicationErrorOptions{NextRetryDelay: delay}
	if of, ok := errors.AsType[accountError](err); ok {
		options.Details = []any{of.account}
	}
	switch v {
	case retriedSoon:
		options.NextRetryDelay = time.Second
	case retriedBriefly:
		options.NonRetryable = activity.GetInfo(ctx).Attempt >= briefAttempts
	case final:
		options.NonRetryable = true
	}
	message := advice(kind, err) + err.Error()
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	// Protobuf refuses invalid UTF-8, and Temporal would never get the failure.
	message = strings.ToValidUTF8(message, "�")
	return temporal.NewApplicationErrorWithOptions(message, kind, options)
}

// judge is the one place that decides what kind of problem an error is and what to do
// about it. verdict_test.go has the complete table.
func judge(err error) (kind string, v verdict, delay time.Duration) {
	if refusal, ok := errors.AsType[finalError](err); ok {
		if refusal.kind == ErrorUnknownAccount {
			return refusal.kind, retriedBriefly, 0 // another worker may have it, while an account is being added
		}
		return refusal.kind, final, 0
	}
	switch {
	case is[*refusal](err):
		refused, _ := errors.AsType[*refusal](err)
		return undelivered, retried, refused.wait
	case errors.Is(err, errWorkerStopping):
		return errorWorkerStopping, retried, 0
	case errors.Is(err, errWorkerBusy):
		return errorWorkerBusy, retried, 0
	case errors.Is(err, errHandedBack):
		return ErrorDiskFull, final, 0
	case errors.Is(err, errHookBroken):
		return errorRecordHook, retriedBriefly, 0
	case errors.Is(err, errRecordHook):
		return errorRecordHook, retried, 0
	case errors.Is(err, errFileGone):
		return ErrorFileGone, final, 0
	case errors.Is(err, webscraper.ErrUnreadable):
		return ErrorFileUnreadable, final, 0
	case is[spoolError](err):
		kind, v = fileVerdict(err)
		return kind, v, 0
	case errors.Is(err, archive.ErrCorrupt):
		return errorArchiveCorrupt, final, 0
	case is[archiveError](err):
		return errorArchive, archiveVerdict(err), 0
	case errors.Is(err, sink.ErrSuperseded):
		return ErrorSuperseded, final, 0
	case is[cloudError](err) && !errors.Is(err, webscraper.ErrBudget):
		return cloudVerdict(err)
	case hasFix(err):
		return ErrorMappedTable, final, 0
	case is[*postgres.MappingsError](err):
		return ErrorMappedTable, retriedBriefly, 0 // another worker may have the right file
	case pq.As(err) != nil:
		kind, v = databaseVerdict(err)
		return kind, v, 0
	case isBrokenConnection(err):
		return errorDatabase, retried, 0 // the only connections not to the cloud
	}
	return ErrorOther, retried, 0
}

// advice returns what an operator can do about a problem that retries do not fix.
func advice(kind string, err error) string {
	switch {
	case kind == ErrorTokenRefused:
		of, _ := errors.AsType[accountError](err)
		name := ""
		if sink.IsNamed(of.account) {
			name = fmt.Sprintf(" of account %q", of.account)
		}
		return "Web Scraper Cloud refuses the API token" + name + "; fix " + tokenSetting(of.account) + " of the workers: "
	case is[*tls.CertificateVerificationError](err):
		return "The workers do not trust the server's certificate: "
	case kind == errorSpool:
		return "A file cannot be read or written; check that SPOOL_DIR of the workers is a folder they can write to: "
	case kind == errorDatabaseRefuses && !isAboutTheSchema(err):
		return "PostgreSQL refuses the write, and no retry helps: "
	case kind == errorDatabaseRefuses:
		return "PostgreSQL refuses the statement; starter doctor says what the workers' role or schema scrapehaul lacks: "
	case kind == ErrorFileUnreadable:
		return "Nothing was imported; change how the file is exported, or, if it is CSV, import the job from JSON (SOURCE_FORMAT=json): "
	case kind == ErrorMappedTable:
		return "Nothing was published; fix the table or its mapping (MAPPINGS of the workers): "
	case kind == errorArchiveCorrupt:
		return "Nothing was imported; repair the archived file, or remove it to use the previous one: "
	}
	return ""
}

// isAboutTheSchema reports whether a table, a column or a privilege is missing.
func isAboutTheSchema(err error) bool {
	refused := pq.As(err)
	return refused != nil && slices.Contains([]pqerror.Class{
		pqerror.ClassSyntaxErrorOrAccessRuleViolation, pqerror.ClassInvalidSchemaName, pqerror.ClassInvalidCatalogName,
	}, refused.Code.Class())
}

// hasFix reports whether the error names how to fix a mapped table.
func hasFix(err error) bool {
	refusal, ok := errors.AsType[*postgres.MappedTableError](err)
	return ok && len(refusal.Fix) > 0
}

// isBrokenConnection recognizes the errors of lib/pq that PostgreSQL did not report.
func isBrokenConnection(err error) bool {
	return is[*net.OpError](err) || is[*tls.CertificateVerificationError](err) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// cloudError wraps an error of the Web Scraper Cloud client: a broken connection does
// not say what it was connected to.
type cloudError struct{ error }

func (e cloudError) Unwrap() error { return e.error }

// spoolError wraps an error of the spool's file system: a path does not say whose it is.
type spoolError struct{ error }

func (e spoolError) Unwrap() error { return e.error }

func fromCloud(err error) error {
	if err == nil {
		return nil
	}
	return cloudError{err}
}

// accountError is about an account's API token. It passes the account's name to the
// workflow, which may not know it yet.
type accountError struct {
	account string
	error
}

func (e accountError) Unwrap() error { return e.error }

// finalError says in a sentence what only an operator can fix.
type finalError struct{ kind, sentence string }

func (e finalError) Error() string { return e.sentence }

func notCreated(format string, args ...any) error {
	return finalError{errorNotCreated, fmt.Sprintf(format, args...)}
}

// is reports whether the error has that type or wraps one that does.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
