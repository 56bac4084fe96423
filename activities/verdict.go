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

// verdict says what to do about an error.
type verdict int

const (
	// retried: until the retry policy ends, about an hour.
	retried verdict = iota
	// retriedSoon: another attempt is all it takes, so it starts after a second.
	retriedSoon
	// retriedBriefly: a race, one worker's problem, or permanent. If a few attempts do not
	// fix it, it is final.
	retriedBriefly
	// final: an operator must fix it.
	final
)

// briefAttempts is the number of attempts of retriedBriefly, within about 15 s.
const briefAttempts = 5

// sqlstates has the verdicts for PostgreSQL's errors, by code or by class. All others are
// retriedBriefly.
var sqlstates = map[string]verdict{
	"08": retried, // the connection
	"53": retried, // disk full, out of memory, too many connections
	"57": retried, // shut down, starting, canceled
	"58": retried, // the server's system: an I/O error may be temporary
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
	"40002": retriedBriefly,        // an integrity constraint
	"53400": final,                 // a configured limit, like that of temporary files
	"57P04": final,                 // database dropped
	"58P01": final, "58P03": final, // a file of the server is missing or its name is too long
	"XX001": final, "XX002": final, // corrupted
}

func sqlstateVerdict(code pqerror.Code) verdict {
	for _, key := range []string{string(code), string(code.Class())} {
		if v, ok := sqlstates[key]; ok {
			return v
		}
	}
	return retriedBriefly
}

// databaseVerdict judges errors reported by PostgreSQL. In a mapped table, what would be
// retriedBriefly is usually a rule of the table's owner, and final.
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

// fileVerdict judges errors of the spool's file system. Another worker may have a usable
// spool.
func fileVerdict(err error) (kind string, v verdict) {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, errDiskFull), diskspace.IsFull(err):
		return ErrorDiskFull, retried
	case !is[*fs.PathError](err) && !is[*os.LinkError](err):
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), slices.Contains([]syscall.Errno{
		syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EFBIG, syscall.EINVAL, syscall.ENOSYS,
	}, errno):
		return errorSpool, retriedBriefly
	}
	return ErrorOther, retried // EIO, EMFILE, ESTALE and such may be temporary
}

// cloudVerdict judges responses of Web Scraper Cloud, including missing ones.
func cloudVerdict(err error) (kind string, v verdict, delay time.Duration) {
	if delay, limited := webscraper.IsRateLimited(err); limited {
		return errorRateLimited, retried, delay
	}
	if webscraper.IsNotFound(err) {
		return ErrorJobGone, final, 0
	}
	if webscraper.IsUnauthorized(err) {
		return ErrorTokenRefused, final, 0
	}
	answer, ok := errors.AsType[*webscraper.Error](err)
	switch {
	case is[*tls.CertificateVerificationError](err): // the server is not the API
		return errorRequestRefused, final, 0
	case ok && statusVerdict(answer.StatusCode) == final && answer.RedirectedTo != "":
		return errorRequestRefused, retriedBriefly, 0 // perhaps the signed URL expired: the API returns a new one
	case ok && (statusVerdict(answer.StatusCode) == final || answer.ValidationErrors != nil):
		return errorRequestRefused, final, 0
	}
	return errorCloud, retried, 0 // no response, an incomplete one, or a temporary error
}

// statusVerdict judges unsuccessful responses. A success status here means that the
// response is not the API's but a proxy's, which may be temporary.
func statusVerdict(status int) verdict {
	switch status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests,
		499: // nginx: the client closed the connection
		return retried
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return final
	}
	if status >= 300 && status < 500 {
		return final
	}
	return retried
}
