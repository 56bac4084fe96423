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

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Types of the errors that activities return, as seen in the Temporal UI.
const (
	// errorRateLimited: the API's limit is spent; retried when it says so.
	errorRateLimited = "RateLimited"
	// errorCloud: Web Scraper Cloud failed or could not be reached; retried.
	errorCloud = "CloudUnavailable"
	// errorRequestRefused: Web Scraper Cloud refuses the request, now and
	// later. Not retried.
	errorRequestRefused = "RequestRefused"
	// ErrorTokenRefused: Web Scraper Cloud refuses the account's API token; a person has
	// to put it right. ErrorUnknownAccount: the workers have no token of the account.
	ErrorTokenRefused   = "TokenRefused"
	ErrorUnknownAccount = "UnknownAccount"
	// ErrorJobGone: Web Scraper Cloud does not know the job any more. The import
	// has to begin again with the description, which says the rest.
	ErrorJobGone = "JobGone"
	// errorDatabase: PostgreSQL failed or could not be reached; retried.
	errorDatabase = "DatabaseUnavailable"
	// errorDatabaseRefuses: PostgreSQL refuses the statement, now and later: a
	// missing table or right, say. What may be a race is retried a few times.
	errorDatabaseRefuses = "DatabaseRefuses"
	// ErrorDiskFull: the spool's file system is full; retried. The import has to
	// begin again where the worker cannot go on with what it has downloaded.
	ErrorDiskFull = "DiskFull"
	// errorSpool: the spool cannot be read or written, for good: a missing right, say.
	// Retried a few times, as another worker may have a better one.
	errorSpool = "SpoolUnusable"
	// errorWorkerStopping: the worker is being stopped, or its process has ended; retried.
	errorWorkerStopping = "WorkerStopping"
	// errorWorkerBusy: the worker has no slot for a download that any worker may
	// take; retried.
	errorWorkerBusy = "WorkerBusy"
	// ErrorFileGone: the spool file is not there as it was. The import has to
	// begin again with the download.
	ErrorFileGone = "FileGone"
	// ErrorFileUnreadable: the downloaded file is not what it is to be as a whole: of
	// another encoding, say. Not retried.
	ErrorFileUnreadable = "FileUnreadable"
	// ErrorSuperseded: a later import of the job was requested. The import has
	// to begin again, if it is still wanted.
	ErrorSuperseded = "Superseded"
	// errorArchive: the archive failed or could not be reached; retried, unless it
	// refuses.
	errorArchive = "ArchiveUnavailable"
	// errorArchiveCorrupt: an archived file is not as it was written. Not retried.
	errorArchiveCorrupt = "ArchiveCorrupt"
	// ErrorMappedTable: PostgreSQL refuses to bring records into the table of a
	// mapping, now and later: another row has the key, say. Not retried.
	ErrorMappedTable = "MappedTableRefuses"
	// errorRecordHook: the record hook of the worker's host failed; retried, a few
	// times only after a panic.
	errorRecordHook = "RecordHookFailed"
	// ErrorRejectedRecords and ErrorCountMismatch: the rule of deletion, WhyKeep,
	// wants a person to look first.
	ErrorRejectedRecords = "RejectedRecords"
	ErrorCountMismatch   = "CountMismatch"
	// errorPageCredits: the account has fewer page credits than MinPageCredits. Not retried.
	errorPageCredits = "TooFewPageCredits"
	// errorNotCreated: a scraping job can't be created without the risk of a second one, or
	// a rerun has no URLs to read. Not retried.
	errorNotCreated = "NotCreated"
	// ErrorOther: anything else; retried.
	ErrorOther = "Other"
)

// ErrorKinds are all of these types, and the kinds of questions of the sink.
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
	errHandedBack     = errors.New("the download begins again, on any worker")
	errWorkerBusy     = errors.New("the worker has no slot free (MAX_CONCURRENT_IMPORTS); the download goes to whichever has one")
	errWorkerStopping = errors.New("the worker is stopping; another attempt will go on from here")
	errProcessEnded   = errors.New("the process of the worker that ran this attempt has ended; another attempt goes on where it stopped")
)

// maxMessage keeps an error's text well below Temporal's limit for a payload.
const maxMessage = 2000

// classify turns an error, if there is one, into what Temporal is to do about it.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return ctx.Err() // cancelled by Temporal, which knows why
	}
	kind, v, delay := judge(err)
	options := temporal.ApplicationErrorOptions{NextRetryDelay: delay}
	if of, ok := errors.AsType[accountError](err); ok {
		options.Details = []any{of.account}
	}
	switch v {
	case retriedAtOnce:
		options.NextRetryDelay = time.Second
	case doubted:
		options.NonRetryable = activity.GetInfo(ctx).Attempt >= doubtedAttempts
	case final:
		options.NonRetryable = true
	}
	message := advice(kind, err) + err.Error()
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	// Protobuf refuses other text, and Temporal would never learn of the failure.
	message = strings.ToValidUTF8(message, "�")
	return temporal.NewApplicationErrorWithOptions(message, kind, options)
}

// judge is the one place that says what kind of problem an error is, and what is
// to be done about it. verdict_test.go has the whole table.
func judge(err error) (kind string, v verdict, delay time.Duration) {
	if refusal, ok := errors.AsType[finalError](err); ok {
		if refusal.kind == ErrorUnknownAccount {
			return refusal.kind, doubted, 0 // another worker may have it, as while an account is added
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
		return errorRecordHook, doubted, 0
	case errors.Is(err, errRecordHook):
		return errorRecordHook, retried, 0
	case errors.Is(err, errFileGone):
		return ErrorFileGone, final, 0
	case errors.Is(err, webscraper.ErrUnreadable):
		return ErrorFileUnreadable, final, 0
	case errors.Is(err, archive.ErrCorrupt):
		return errorArchiveCorrupt, final, 0
	case is[archiveError](err):
		return errorArchive, archiveVerdict(err), 0
	case errors.Is(err, sink.ErrSuperseded):
		return ErrorSuperseded, final, 0
	case is[cloudError](err) && !errors.Is(err, webscraper.ErrBudget):
		return cloudVerdict(err)
	case namesWhatMendsIt(err):
		return ErrorMappedTable, final, 0
	case is[*postgres.MappingsError](err):
		return ErrorMappedTable, doubted, 0 // another worker may have the right file
	case pq.As(err) != nil:
		kind, v = databaseVerdict(err)
		return kind, v, 0
	case is[*tls.CertificateVerificationError](err):
		return errorDatabaseRefuses, final, 0
	case isBrokenConnection(err):
		return errorDatabase, retried, 0 // the only connections that are not to the cloud
	}
	if kind, v, ok := fileVerdict(err); ok {
		return kind, v, 0
	}
	return ErrorOther, retried, 0
}

// advice says what a person is to do about what retrying cannot mend.
func advice(kind string, err error) string {
	switch {
	case kind == ErrorTokenRefused:
		of, _ := errors.AsType[accountError](err)
		name := ""
		if sink.IsNamed(of.account) {
			name = fmt.Sprintf(" of account %q", of.account)
		}
		return "Web Scraper Cloud refuses the API token" + name + ", put " + tokenSetting(of.account) + " of the workers right: "
	case is[*tls.CertificateVerificationError](err):
		return "The workers do not trust the certificate of what answers: "
	case kind == errorSpool:
		return "A file cannot be read or written, see that SPOOL_DIR of the workers is a folder of theirs: "
	case kind == errorDatabaseRefuses && !isAboutTheSchema(err):
		return "PostgreSQL refuses what has to be written, and no retry helps: "
	case kind == errorDatabaseRefuses:
		return "PostgreSQL refuses the statement, see that the workers' role owns schema scrapehaul and run \"worker migrate\": "
	case kind == ErrorFileUnreadable:
		return "Nothing was imported; have the file exported otherwise, or import the job from JSON (SOURCE_FORMAT=json): "
	case kind == ErrorMappedTable:
		return "Nothing was published; put the table or its mapping (MAPPINGS of the workers) right: "
	case kind == errorArchiveCorrupt:
		return "Nothing was imported; put the archived file right, or remove it, so that the one before it is taken: "
	}
	return ""
}

// isAboutTheSchema reports whether a table, a column or a right is missing.
func isAboutTheSchema(err error) bool {
	refused := pq.As(err)
	return refused != nil && slices.Contains([]pqerror.Class{
		pqerror.ClassSyntaxErrorOrAccessRuleViolation, pqerror.ClassInvalidSchemaName, pqerror.ClassInvalidCatalogName,
	}, refused.Code.Class())
}

// namesWhatMendsIt reports whether a mapped table was looked at and cannot take the
// records.
func namesWhatMendsIt(err error) bool {
	refusal, ok := errors.AsType[*postgres.MappedTableError](err)
	return ok && len(refusal.Fix) > 0
}

// isBrokenConnection recognises what lib/pq returns when it is not PostgreSQL
// that reports the error.
func isBrokenConnection(err error) bool {
	return is[*net.OpError](err) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// cloudError marks an error of the Web Scraper Cloud client: a broken
// connection does not say where it led.
type cloudError struct{ error }

func (e cloudError) Unwrap() error { return e.error }

func fromCloud(err error) error {
	if err == nil {
		return nil
	}
	return cloudError{err}
}

// accountError is one that is about the account's API token. Its name goes with it to the
// workflow, which may not know yet which account has the job.
type accountError struct {
	account string
	error
}

func (e accountError) Unwrap() error { return e.error }

// finalError says in a sentence what only a person can fix.
type finalError struct{ kind, sentence string }

func (e finalError) Error() string { return e.sentence }

func notCreated(format string, args ...any) error {
	return finalError{errorNotCreated, fmt.Sprintf(format, args...)}
}

// is reports whether the error is of that type, or wraps one.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
