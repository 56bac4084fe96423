package activities_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/fileblob"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// The whole table: what kind of problem an error is, what is done about it, and
// why. Whatever a retry may mend is retried for about an hour, and its last failure
// can be seen meanwhile; what none can mend is before a person within a minute.
func TestEveryErrorIsRetriedOrPutBeforeAPerson(t *testing.T) {
	t.Parallel()
	const retried, atOnce, retriedBriefly, final = "retried", "retried at once", "retriedBriefly", "final"
	type row struct {
		errs, kind, verdict, why string
	}
	check := func(table []row, errorOf func(name string) error) (seen map[string]bool) {
		seen = map[string]bool{}
		for _, row := range table {
			for name := range strings.FieldsSeq(row.errs) {
				kind, verdict := activities.Judge(errorOf(name))
				require.Equal(t, [2]string{row.kind, row.verdict}, [2]string{kind, verdict}, "%s: %s", name, row.why)
				require.False(t, seen[name], name)
				seen[name] = true
			}
		}
		return seen
	}
	const down, refuses, mapped = activities.ErrorDatabase, activities.ErrorDatabaseRefuses, activities.ErrorMappedTable
	sqlstate := func(code string) error {
		return fmt.Errorf("committing a batch: %w", &pq.Error{Code: pqerror.Code((code + "000")[:5])})
	}

	// A class stands for those of its codes that are not named.
	classes := check([]row{
		{"00 01 02 03 0B 0F 0L 0P 0Z 20 24 26 2D 34 3B F0", refuses, retriedBriefly, "no answer to what is asked: a pooler between, or an error of ours"},
		{"10 72 UE", refuses, retriedBriefly, "of no class that we know: an extension's, a pooler's, or a rule of somebody's"},
		{"08 08P01", down, retried, "the connection, or that of the pooler"},
		{"09 21 22 27 2B 2F 38 39 44 P0", refuses, final, "a rule, a trigger or a value: the same the next time"},
		{"0A", refuses, retriedBriefly, "a plan that a change of the schema has overtaken is made anew"},
		{"23 23505 40002", refuses, retriedBriefly, "a race with another attempt, or a constraint that somebody has added"},
		{"25", refuses, retriedBriefly, "a transaction in a state that the next has not"},
		{"25006", down, retried, "read-only: a failover, or a disk that is full"},
		{"25P03 25P04", down, retried, "a timeout of the role"},
		{"28 28P01", down, retried, "the password may be rotated while we retry"},
		{"3D 3F", refuses, final, "the database or the schema is not there"},
		{"40 40001 40P01 40003", down, atOnce, "serialization, deadlock: another attempt is all that is missing"},
		{"42 42501 42P01 42703", refuses, final, "a right, a table or a column is missing"},
		{"53 53100 53200 53300", down, retried, "disk full, memory, connections: all may be free again"},
		{"53400", refuses, final, "a configured limit, like temp_file_limit"},
		{"54 54001 54011", refuses, final, "a limit of PostgreSQL: an index row of a name of 4,000 bytes"},
		{"55 55P02", refuses, final, "no replica identity, or no connections allowed: only an ALTER helps"},
		{"55006 55P03", down, retried, "somebody holds it"},
		{"57 57014 57P01 57P02 57P03 57P05", down, retried, "shut down, starting, cancelled"},
		{"57P04", refuses, final, "the database was dropped"},
		{"58 58030", down, retried, "the server's system: an I/O error may pass"},
		{"58P01 58P03", refuses, final, "a file of the server is missing"},
		{"58P02", down, retried, "as its class"},
		{"HV", refuses, retriedBriefly, "a foreign table"},
		{"HV001 HV00N", down, retried, "a foreign server that is not reached"},
		{"XX", refuses, retriedBriefly, "internal: a concurrent change of the schema, or a pooler's own words"},
		{"XX001 XX002", refuses, final, "a table or an index is corrupt"},
	}, sqlstate)
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, first := range digits {
		for _, second := range digits {
			if class := string(first) + string(second); pqerror.Class(class).Name() != "" {
				require.True(t, classes[class], "class %s is not in the table", class)
			}
		}
	}
	check([]row{
		{"09 0A 21 22 23 27 38 39 3F 42 44 54 55 P0 UE", mapped, final, "the table's own rule"},
		{"HV XX", mapped, retriedBriefly, "a foreign table, or a concurrent change"},
		{"08 53 57 25006 55P03", down, retried, "not about the table"},
		{"40", down, atOnce, "as everywhere"},
	}, func(code string) error { return &postgres.MappedTableError{Err: sqlstate(code)} })

	statuses := check([]row{
		{"100 101 102 103 200 201 202 203 204 205 206 207 208 226", activities.ErrorCloud, retried, "not the API's: a proxy's page may pass"},
		{"300 301 302 303 304 305 307 308", activities.ErrorRequestRefused, final, "a redirect that is not followed: the base URI is wrong"},
		{"401", activities.ErrorTokenRefused, final, "a person has to put the token right"},
		{"400 402 403 405 406 407 409 410 411 412 413 414 415 416 417 418 422 424 426 428 431 451", activities.ErrorRequestRefused, final, "refused, now and later"},
		{"404", activities.ErrorJobGone, final, "the import begins again with the description"},
		{"408 421 423 425 499", activities.ErrorCloud, retried, "about this connection or this moment only"},
		{"429", activities.ErrorRateLimited, retried, "when the API says"},
		{"500 502 503 504 506 507 508 510 511 520 599", activities.ErrorCloud, retried, "the server's trouble"},
		{"501 505", activities.ErrorRequestRefused, final, "something between us and the API does not speak its language"},
	}, func(status string) error {
		code, err := strconv.Atoi(status)
		require.NoError(t, err)
		return activities.FromCloud(&webscraper.Error{StatusCode: code})
	})
	for status := range 600 {
		require.True(t, http.StatusText(status) == "" || statuses[strconv.Itoa(status)], "status %d is not in the table", status)
	}
	check([]row{
		{"401 403 404 410", activities.ErrorRequestRefused, retriedBriefly, "neither the token nor the job is what another host speaks of: its URL has expired, say"},
		{"429", activities.ErrorCloud, retried, "that host's limit, not the API's"},
		{"500 503", activities.ErrorCloud, retried, "the server's trouble"},
	}, func(status string) error {
		code, err := strconv.Atoi(status)
		require.NoError(t, err)
		return activities.FromCloud(&webscraper.Error{StatusCode: code, RedirectedTo: "https://files.test"})
	})

	errnos := map[string]syscall.Errno{
		"ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EROFS": syscall.EROFS, "EACCES": syscall.EACCES, "EPERM": syscall.EPERM,
		"ENOENT": syscall.ENOENT, "ENOTDIR": syscall.ENOTDIR, "EISDIR": syscall.EISDIR, "ELOOP": syscall.ELOOP,
		"ENAMETOOLONG": syscall.ENAMETOOLONG, "EFBIG": syscall.EFBIG, "EINVAL": syscall.EINVAL, "ENOSYS": syscall.ENOSYS,
		"EIO": syscall.EIO, "EMFILE": syscall.EMFILE, "ENFILE": syscall.ENFILE, "ESTALE": syscall.ESTALE, "EBUSY": syscall.EBUSY,
		"EINTR": syscall.EINTR, "EAGAIN": syscall.EAGAIN, "ENOMEM": syscall.ENOMEM, "ENODEV": syscall.ENODEV, "ENOTCONN": syscall.ENOTCONN,
	}
	files := []row{
		{"ENOSPC EDQUOT", activities.ErrorDiskFull, retried, "there may be room again"},
		{"EROFS EACCES EPERM ENOENT ENOTDIR EISDIR ELOOP ENAMETOOLONG EFBIG EINVAL ENOSYS", activities.ErrorSpool, retriedBriefly, "for good, but perhaps on this worker only"},
		{"EIO EMFILE ENFILE ESTALE EBUSY EINTR EAGAIN ENOMEM ENODEV ENOTCONN", activities.ErrorOther, retried, "the disk, the mount or the process may recover"},
	}
	for _, wrap := range []func(error) error{
		func(err error) error { return &fs.PathError{Op: "write", Path: "/spool/file", Err: err} },
		func(err error) error { return &os.LinkError{Op: "rename", Old: "/spool/a", New: "/spool/b", Err: err} },
		func(err error) error {
			return activities.FromCloud(fmt.Errorf("download: %w", &fs.PathError{Op: "write", Err: err}))
		},
	} {
		check(files, func(name string) error { return fmt.Errorf("naming the spool file: %w", wrap(errnos[name])) })
	}

	unreachable := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EACCES)}
	untrusted := &url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	nowhere, err := fileblob.OpenBucket(t.TempDir(), nil)
	require.NoError(t, err)
	noBucket := nowhere.Delete(t.Context(), "nothing") // NotFound, as a bucket that is not there
	others := map[string]error{
		"network":           activities.FromCloud(unreachable),
		"certificate":       activities.FromCloud(untrusted),
		"database-network":  unreachable,
		"database-cut":      io.ErrUnexpectedEOF,
		"database-untrust":  untrusted,
		"archive":           activities.FromArchive(unreachable),
		"archive-no-right":  activities.FromArchive(&fs.PathError{Op: "open", Err: syscall.EACCES}),
		"archive-no-bucket": activities.FromArchive(noBucket),
		"mapped-mend":       &postgres.MappedTableError{Err: errors.New("no replica identity"), Fix: []string{"ALTER TABLE …"}},
		"mapped-file":       fmt.Errorf("publishing: %w", &postgres.MappedTableError{Err: new(postgres.MappingsError)}),
		"superseded":        sink.ErrSuperseded,
		"else":              errors.New("something else"),
	}
	check([]row{
		{"network", activities.ErrorCloud, retried, "the cloud, or what is between"},
		{"certificate", activities.ErrorRequestRefused, final, "who answers is not the API"},
		{"database-network database-cut", down, retried, "restart or failover"},
		{"database-untrust", refuses, final, "who answers is not the database"},
		{"archive", activities.ErrorArchive, retried, "the store, or what is between"},
		{"archive-no-right archive-no-bucket", activities.ErrorArchive, retriedBriefly, "the bucket is missing, or not ours to write"},
		{"mapped-mend", mapped, final, "the sentence has the statement that mends it"},
		{"mapped-file", mapped, retriedBriefly, "the worker has an old file of mappings, another one need not"},
		{"superseded", activities.ErrorSuperseded, final, "the import begins again, if it is still wanted"},
		{"else", activities.ErrorOther, retried, "nobody knows"},
	}, func(name string) error { return others[name] })
}
