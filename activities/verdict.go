package activities

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// verdict says what is to be done about an error.
type verdict int

const (
	// retried: until the retry policy ends, about an hour.
	retried verdict = iota
	// retriedSoon: another attempt is all that is missing, so none waits long.
	retriedSoon
	// doubted: a race, or one worker's trouble, or there for good: what a few attempts
	// do not mend is final.
	doubted
	// final: a person has to mend it.
	final
)

// briefAttempts are made within some 15 s.
const briefAttempts = 5

// sqlstates has the verdicts on PostgreSQL's errors by code, or by class. Others
// are doubted.
var sqlstates = map[string]verdict{
	"08": retried, // the connection
	"53": retried, // disk full, out of memory, too many connections
	"57": retried, // shut down, starting, cancelled
	"58": retried, // the server's system: an I/O error may pass
	"28": retried, // the password may be changed while activities are retried
	"40": retriedSoon,

	"25006": retried, // read-only: during a failover
	"25P03": retried, // idle in transaction for too long
	"25P04": retried, // transaction timeout
	"55006": retried, // object in use
	"55P03": retried, // lock not available
	"HV001": retried, // foreign data wrapper: out of memory
	"HV00N": retried, // foreign data wrapper: no connection

	"09": final, "21": final, "22": final, "27": final, "2B": final, "2F": final, "38": final, "39": final, "3D": final, "3F": final,
	"42": final, "44": final, "54": final, "55": final, "P0": final,
	"40002": doubted,               // an integrity constraint
	"53400": final,                 // a configured limit, like that of temporary files
	"57P04": final,                 // database dropped
	"58P01": final, "58P03": final, // a file of the server is missing, or its name too long
	"XX001": final, "XX002": final, // corrupted
}

func sqlstateVerdict(code pqerror.Code) verdict {
	for _, key := range []string{string(code), string(code.Class())} {
		if v, ok := sqlstates[key]; ok {
			return v
		}
	}
	return doubted
}

// databaseVerdict is about PostgreSQL's answers. In a table that is not ours, what
// is doubted is somebody's rule.
func databaseVerdict(err error) (kind string, v verdict) {
	code := pq.As(err).Code
	v = sqlstateVerdict(code)
	mapped := is[*postgres.MappedTableError](err)
	switch {
	case v == retried, v == retriedSoon:
		return errorDatabase, v
	case mapped && !slices.Contains([]pqerror.Class{pqerror.ClassInternalError, pqerror.ClassFDWError}, code.Class()):
		return ErrorMappedTable, final
	case mapped:
		return ErrorMappedTable, v
	}
	return errorDatabaseRefuses, v
}

// fileVerdict is about errors of a file system, the spool's for one; ok is false
// for other errors. Another worker may have a better spool.
func fileVerdict(err error) (kind string, v verdict, ok bool) {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, errDiskFull), diskspace.IsFull(err):
		return ErrorDiskFull, retried, true
	case !is[*fs.PathError](err) && !is[*os.LinkError](err):
		return "", retried, false
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), slices.Contains([]syscall.Errno{
		syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EFBIG, syscall.EINVAL, syscall.ENOSYS,
	}, errno):
		return errorSpool, doubted, true
	}
	return ErrorOther, retried, true // EIO, EMFILE, ESTALE and such may pass
}

// cloudVerdict is about answers of Web Scraper Cloud, and about none.
func cloudVerdict(err error) (kind string, v verdict, delay time.Duration) {
	if delay, limited := webscraper.IsRateLimited(err); limited {
		return errorRateLimited, retried, delay
	}
	if kind, v, ok := fileVerdict(err); ok {
		return kind, v, 0 // a download that could not be written
	}
	if webscraper.IsNotFound(err) {
		return ErrorJobGone, final, 0
	}
	if webscraper.IsUnauthorized(err) {
		return ErrorTokenRefused, final, 0
	}
	answer, ok := errors.AsType[*webscraper.Error](err)
	switch {
	case is[*tls.CertificateVerificationError](err): // the other side is not the one it should be
		return errorRequestRefused, final, 0
	case ok && statusVerdict(answer.StatusCode) == final && answer.RedirectedTo != "":
		return errorRequestRefused, doubted, 0 // the signed URL has expired, say: the API gives another one
	case ok && (statusVerdict(answer.StatusCode) == final || answer.ValidationErrors != nil):
		return errorRequestRefused, final, 0
	}
	return errorCloud, retried, 0 // no answer, or half of one, or one that may pass
}

// statusVerdict is about the answers that are not a success. One with a success's
// status that is not the API's is a proxy's, which may pass.
func statusVerdict(status int) verdict {
	switch status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests,
		499: // the client has gone, says nginx
		return retried
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return final
	}
	if status >= 300 && status < 500 {
		return final
	}
	return retried
}
