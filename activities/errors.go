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
	// ErrorRateLimited: the API's limit is spent; retried when it says so.
	ErrorRateLimited = "RateLimited"
	// ErrorCloud: Web Scraper Cloud failed or could not be reached; retried.
	ErrorCloud = "CloudUnavailable"
	// ErrorRequestRefused: Web Scraper Cloud refuses the request, now and
	// later: a wrong token, say. Not retried.
	ErrorRequestRefused = "RequestRefused"
	// ErrorJobGone: Web Scraper Cloud does not know the job any more. The import
	// has to begin again with the description, which says the rest.
	ErrorJobGone = "JobGone"
	// ErrorDatabase: PostgreSQL failed or could not be reached; retried.
	ErrorDatabase = "DatabaseUnavailable"
	// ErrorDatabaseRefuses: PostgreSQL refuses the statement, now and later: a
	// missing table or right, say. Not retried.
	ErrorDatabaseRefuses = "DatabaseRefuses"
	// ErrorDiskFull: the spool's file system is full; retried.
	ErrorDiskFull = "DiskFull"
	// ErrorWorkerStopping: the worker is being stopped; retried.
	ErrorWorkerStopping = "WorkerStopping"
	// ErrorFileGone: the spool file is not there as it was. The import has to
	// begin again with the download.
	ErrorFileGone = "FileGone"
	// ErrorSuperseded: a later import of the job was requested. The import has
	// to begin again, if it is still wanted.
	ErrorSuperseded = "Superseded"
	// ErrorArchive: the archive failed or could not be reached; retried.
	ErrorArchive = "ArchiveUnavailable"
	// ErrorArchiveCorrupt: an archived file is not as it was written. Not retried.
	ErrorArchiveCorrupt = "ArchiveCorrupt"
	// ErrorMappedTable: PostgreSQL refuses to bring records into the table of a
	// mapping, now and later: another row has the key, say. Not retried.
	ErrorMappedTable = "MappedTableRefuses"
	// ErrorRecordHook: the record hook of the worker's host failed; retried.
	ErrorRecordHook = "RecordHookFailed"
	// ErrorRejectedRecords and ErrorCountMismatch: the rule of deletion, WhyKeep,
	// wants a person to look first.
	ErrorRejectedRecords = "RejectedRecords"
	ErrorCountMismatch   = "CountMismatch"
	// ErrorOther: anything else; retried.
	ErrorOther = "Other"
)

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
		kind = ErrorWorkerStopping
	case errors.Is(err, errRecordHook):
		kind = ErrorRecordHook
	case errors.Is(err, errFileGone):
		kind, options.NonRetryable = ErrorFileGone, true
	case errors.Is(err, archive.ErrCorrupt):
		kind, options.NonRetryable = ErrorArchiveCorrupt, true
	case isFromArchive(err):
		kind = ErrorArchive
	case errors.Is(err, errDiskFull), errors.Is(err, syscall.ENOSPC):
		kind = ErrorDiskFull
	case errors.Is(err, sink.ErrSuperseded):
		kind, options.NonRetryable = ErrorSuperseded, true
	case pq.As(err) != nil:
		kind, options.NonRetryable = classifyDatabase(pq.As(err))
		if isMappedTableRefusing(err) {
			kind, options.NonRetryable = ErrorMappedTable, true
		}
	case webscraper.IsNotFound(err):
		kind, options.NonRetryable = ErrorJobGone, true
	case isFromCloud(err):
		kind, options.NonRetryable, options.NextRetryDelay = classifyCloud(err)
	case isBrokenConnection(err):
		kind = ErrorDatabase // the only connections that are not to the cloud
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
	case kind == ErrorDatabaseRefuses:
		return "PostgreSQL refuses the statement, see that the workers' role owns schema scrapehaul and run \"worker migrate\": "
	case kind == ErrorMappedTable:
		return "Nothing was published; put the table or its mapping (MAPPINGS of the workers) right: "
	case kind == ErrorArchiveCorrupt:
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
		return ErrorDatabaseRefuses, true
	default:
		return ErrorDatabase, false
	}
}

// isMappedTableRefusing is about what only a person can change too: keys, rights,
// triggers and indexes of a table that is not ours.
func isMappedTableRefusing(err error) bool {
	_, ok := errors.AsType[*postgres.MappedTableError](err)
	return ok && slices.Contains([]pqerror.Class{
		pqerror.ClassDataException, pqerror.ClassIntegrityConstraintViolation, pqerror.ClassSyntaxErrorOrAccessRuleViolation,
		pqerror.ClassInvalidSchemaName, pqerror.ClassPLpgSQLError, pqerror.ClassTriggeredActionException,
		pqerror.ClassProgramLimitExceeded, pqerror.ClassFeatureNotSupported, pqerror.ClassCardinalityViolation,
	}, pq.As(err).Code.Class())
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
		return ErrorRateLimited, false, delay
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return ErrorOther, false, 0 // a download that could not be written
	}
	answer, ok := errors.AsType[*webscraper.Error](err)
	if !ok {
		return ErrorCloud, false, 0 // no answer, or half of one
	}
	switch code := answer.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code < 400, code >= 500:
		return ErrorCloud, false, 0
	default:
		return ErrorRequestRefused, true, 0
	}
}
