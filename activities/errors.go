package activities

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
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
	// later: a wrong token, say. Not retried.
	errorRequestRefused = "RequestRefused"
	// ErrorJobGone: Web Scraper Cloud does not know the job any more. The import
	// has to begin again with the description, which says the rest.
	ErrorJobGone = "JobGone"
	// errorDatabase: PostgreSQL failed or could not be reached; retried.
	errorDatabase = "DatabaseUnavailable"
	// errorDatabaseRefuses: PostgreSQL refuses the statement, now and later: a
	// missing table or right, say. Not retried.
	errorDatabaseRefuses = "DatabaseRefuses"
	// errorDiskFull: the spool's file system is full; retried.
	errorDiskFull = "DiskFull"
	// errorWorkerStopping: the worker is being stopped; retried.
	errorWorkerStopping = "WorkerStopping"
	// ErrorFileGone: the spool file is not there as it was. The import has to
	// begin again with the download.
	ErrorFileGone = "FileGone"
	// ErrorSuperseded: a later import of the job was requested. The import has
	// to begin again, if it is still wanted.
	ErrorSuperseded = "Superseded"
	// errorArchive: the archive failed or could not be reached; retried.
	errorArchive = "ArchiveUnavailable"
	// errorArchiveCorrupt: an archived file is not as it was written. Not retried.
	errorArchiveCorrupt = "ArchiveCorrupt"
	// ErrorMappedTable: PostgreSQL refuses to bring records into the table of a
	// mapping, now and later: another row has the key, say. Not retried.
	ErrorMappedTable = "MappedTableRefuses"
	// errorRecordHook: the record hook of the worker's host failed; retried.
	errorRecordHook = "RecordHookFailed"
	// ErrorRejectedRecords and ErrorCountMismatch: the rule of deletion, WhyKeep,
	// wants a person to look first.
	ErrorRejectedRecords = "RejectedRecords"
	ErrorCountMismatch   = "CountMismatch"
	// ErrorOther: anything else; retried.
	ErrorOther = "Other"
)

// ErrorKinds are all of these types.
func ErrorKinds() []string {
	return []string{
		errorRateLimited, errorCloud, errorRequestRefused, ErrorJobGone, errorDatabase, errorDatabaseRefuses, errorDiskFull,
		errorWorkerStopping, ErrorFileGone, ErrorSuperseded, errorArchive, errorArchiveCorrupt, ErrorMappedTable, errorRecordHook,
		ErrorRejectedRecords, ErrorCountMismatch, ErrorOther,
	}
}

var (
	errDiskFull       = errors.New("the spool's disk is full")
	errFileGone       = errors.New("the spool file is gone")
	errWorkerStopping = errors.New("the worker is stopping; another attempt will go on from here")
)

// maxMessage keeps an error's text well below Temporal's limit for a payload.
const maxMessage = 2000

// classify turns an error into what Temporal is to do about it. It is the one
// place that decides between retrying, waiting and giving up.
func classify(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return ctx.Err() // cancelled by Temporal, which knows why
	}
	kind, options := ErrorOther, temporal.ApplicationErrorOptions{}
	switch {
	case errors.Is(err, errWorkerStopping):
		kind = errorWorkerStopping
	case errors.Is(err, errRecordHook):
		kind = errorRecordHook
	case errors.Is(err, errFileGone):
		kind, options.NonRetryable = ErrorFileGone, true
	case errors.Is(err, archive.ErrCorrupt):
		kind, options.NonRetryable = errorArchiveCorrupt, true
	case isFromArchive(err):
		kind = errorArchive
	case errors.Is(err, errDiskFull), errors.Is(err, syscall.ENOSPC):
		kind = errorDiskFull
	case errors.Is(err, sink.ErrSuperseded):
		kind, options.NonRetryable = ErrorSuperseded, true
	case isMappedTableRefusing(err):
		kind, options.NonRetryable = ErrorMappedTable, true
	case pq.As(err) != nil:
		kind, options.NonRetryable = classifyDatabase(pq.As(err))
	case webscraper.IsNotFound(err):
		kind, options.NonRetryable = ErrorJobGone, true
	case isFromCloud(err):
		kind, options.NonRetryable, options.NextRetryDelay = classifyCloud(err)
	case isBrokenConnection(err):
		kind = errorDatabase // the only connections that are not to the cloud
	}
	message := advice(kind, err) + err.Error()
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	// Protobuf refuses other text, and Temporal would never learn of the failure.
	message = strings.ToValidUTF8(message, "�")
	return temporal.NewApplicationErrorWithOptions(message, kind, options)
}

// advice says what a person is to do about what retrying cannot mend.
func advice(kind string, err error) string {
	switch {
	case webscraper.IsUnauthorized(err):
		return "Web Scraper Cloud refuses the API token, put WEBSCRAPER_API_TOKEN of the workers right: "
	case kind == errorDatabaseRefuses:
		return "PostgreSQL refuses the statement, see that the workers' role owns schema scrapehaul and run \"worker migrate\": "
	case kind == ErrorMappedTable:
		return "Nothing was published; put the table or its mapping (MAPPINGS of the workers) right: "
	case kind == errorArchiveCorrupt:
		return "Nothing was imported; put the archived file right, or remove it, so that the one before it is taken: "
	}
	return ""
}

// classifyDatabase gives up on what only a person can change: missing tables
// and rights. The rest, a wrong password included, can be mended while the
// activity is retried.
func classifyDatabase(err *pq.Error) (kind string, final bool) {
	switch err.Code.Class() {
	case pqerror.ClassSyntaxErrorOrAccessRuleViolation, pqerror.ClassInvalidSchemaName:
		return errorDatabaseRefuses, true
	default:
		return errorDatabase, false
	}
}

// isMappedTableRefusing is about what only a person can change too: keys, rights,
// triggers and indexes of a table that is not ours.
func isMappedTableRefusing(err error) bool {
	refusal, ok := errors.AsType[*postgres.MappedTableError](err)
	if !ok || len(refusal.Mend) > 0 {
		return ok
	}
	refused := pq.As(err)
	return refused != nil && (refused.Code == pqerror.ObjectNotInPrerequisiteState || slices.Contains([]pqerror.Class{
		pqerror.ClassDataException, pqerror.ClassIntegrityConstraintViolation, pqerror.ClassSyntaxErrorOrAccessRuleViolation,
		pqerror.ClassInvalidSchemaName, pqerror.ClassPLpgSQLError, pqerror.ClassTriggeredActionException,
		pqerror.ClassProgramLimitExceeded, pqerror.ClassFeatureNotSupported, pqerror.ClassCardinalityViolation,
	}, refused.Code.Class()))
}

// isBrokenConnection recognises what lib/pq returns when it is not PostgreSQL
// that reports the error.
func isBrokenConnection(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// cloudError marks an error of the Web Scraper Cloud client: a broken
// connection does not say where it led.
type cloudError struct{ error }

func (e cloudError) Unwrap() error { return e.error }

func isFromCloud(err error) bool {
	_, ok := errors.AsType[cloudError](err)
	return ok
}

func classifyCloud(err error) (kind string, final bool, delay time.Duration) {
	if delay, limited := webscraper.IsRateLimited(err); limited {
		return errorRateLimited, false, delay
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return ErrorOther, false, 0 // a download that could not be written
	}
	answer, ok := errors.AsType[*webscraper.Error](err)
	if !ok {
		return errorCloud, false, 0 // no answer, or half of one
	}
	switch code := answer.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code < 400, code >= 500:
		return errorCloud, false, 0
	default:
		return errorRequestRefused, true, 0
	}
}
