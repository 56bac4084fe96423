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

// The complete table: an error's kind, its verdict, and why. What a retry may fix is
// retried for about an hour, and its last failure is visible meanwhile. Anything else needs
// attention within a minute.
func TestEveryErrorIsRetriedOrNeedsAnOperator(t *testing.T) {
	t.Parallel()
	const retried, soon, briefly, final = "retried", "retried soon", "retried briefly", "final"
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

	// A class covers its codes that are not listed.
	classes := check([]row{
		{"00 01 02 03 0B 0F 0L 0P 0Z 20 24 26 2D 34 3B F0", refuses, briefly, "not an answer to our statement: a pooler, or a bug of ours"},
		{"10 72 UE", refuses, briefly, "unknown class: from an extension, a pooler or a custom rule"},
		{"08 08P01", down, retried, "the connection, or the pooler's"},
		{"09 21 22 27 2B 2F 38 39 44 P0", refuses, final, "a rule, a trigger or a value: fails again"},
		{"0A", refuses, briefly, "a plan invalidated by a schema change is replanned"},
		{"23 23505 40002", refuses, briefly, "a race with another attempt, or an added constraint"},
		{"25", refuses, briefly, "a transaction state that the next one does not have"},
		{"25006", down, retried, "read-only: a failover or a full disk"},
		{"25P03 25P04", down, retried, "a timeout of the role"},
		{"28 28P01", down, retried, "the password may be rotated while we retry"},
		{"3D 3F", refuses, final, "the database or the schema is missing"},
		{"40 40001 40P01 40003", down, soon, "serialization, deadlock: another attempt is all it takes"},
		{"42 42501 42P01 42703", refuses, final, "a privilege, a table or a column is missing"},
		{"53 53100 53200 53300", down, retried, "disk full, memory, connections: may be free again"},
		{"53400", refuses, final, "a configured limit, like temp_file_limit"},
		{"54 54001 54011", refuses, final, "a PostgreSQL limit, such as the index row of a 4,000-byte name"},
		{"55 55P02", refuses, final, "no replica identity, or no connections allowed: needs an ALTER"},
		{"55006 55P03", down, retried, "someone holds it"},
		{"57 57014 57P01 57P02 57P03 57P05", down, retried, "shut down, starting, canceled"},
		{"57P04", refuses, final, "the database was dropped"},
		{"58 58030", down, retried, "the server's system: an I/O error may be temporary"},
		{"58P01 58P03", refuses, final, "a file of the server is missing"},
		{"58P02", down, retried, "like its class"},
		{"HV", refuses, briefly, "a foreign table"},
		{"HV001 HV00N", down, retried, "an unreachable foreign server"},
		{"XX", refuses, briefly, "internal: a concurrent schema change, or a pooler's error"},
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
		{"HV XX", mapped, briefly, "a foreign table, or a concurrent change"},
		{"08 53 57 25006 55P03", down, retried, "not about the table"},
		{"40", down, soon, "as always"},
	}, func(code string) error { return &postgres.MappedTableError{Err: sqlstate(code)} })

	statuses := check([]row{
		{"100 101 102 103 200 201 202 203 204 205 206 207 208 226", activities.ErrorCloud, retried, "not the API's: a proxy's page may be temporary"},
		{"300 301 302 303 304 305 307 308", activities.ErrorRequestRefused, final, "redirects are not followed: the base URI is wrong"},
		{"401", activities.ErrorTokenRefused, final, "an operator must fix the token"},
		{"400 402 403 405 406 407 409 410 411 412 413 414 415 416 417 418 422 424 426 428 431 451", activities.ErrorRequestRefused, final, "permanently refused"},
		{"404", activities.ErrorJobGone, final, "the import starts over with the description"},
		{"408 421 423 425 499", activities.ErrorCloud, retried, "only about this connection or this moment"},
		{"429", activities.ErrorRateLimited, retried, "when the API allows it"},
		{"500 502 503 504 506 507 508 510 511 520 599", activities.ErrorCloud, retried, "a server problem"},
		{"501 505", activities.ErrorRequestRefused, final, "a proxy that does not support the request"},
	}, func(status string) error {
		code, err := strconv.Atoi(status)
		require.NoError(t, err)
		return activities.FromCloud(&webscraper.Error{StatusCode: code})
	})
	for status := range 600 {
		require.True(t, http.StatusText(status) == "" || statuses[strconv.Itoa(status)], "status %d is not in the table", status)
	}
	check([]row{
		{"401 403 404 410", activities.ErrorRequestRefused, briefly, "another host's answer is not about the token or the job: perhaps its URL expired"},
		{"429", activities.ErrorCloud, retried, "the host's limit, not the API's"},
		{"500 503", activities.ErrorCloud, retried, "a server problem"},
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
		{"EROFS EACCES EPERM ENOENT ENOTDIR EISDIR ELOOP ENAMETOOLONG EFBIG EINVAL ENOSYS", activities.ErrorSpool, briefly, "permanent, but perhaps only on this worker"},
		{"EIO EMFILE ENFILE ESTALE EBUSY EINTR EAGAIN ENOMEM ENODEV ENOTCONN", activities.ErrorOther, retried, "the disk, the mount or the process may recover"},
	}
	for _, wrap := range []func(error) error{
		func(err error) error {
			return activities.FromSpool(&fs.PathError{Op: "write", Path: "/spool/file", Err: err})
		},
		func(err error) error {
			return activities.FromSpool(&os.LinkError{Op: "rename", Old: "/spool/a", New: "/spool/b", Err: err})
		},
		func(err error) error {
			return activities.FromCloud(fmt.Errorf("download: %w", activities.FromSpool(&fs.PathError{Op: "write", Err: err})))
		},
	} {
		check(files, func(name string) error { return fmt.Errorf("naming the spool file: %w", wrap(errnos[name])) })
	}

	unreachable := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EACCES)}
	untrusted := &url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	empty, err := fileblob.OpenBucket(t.TempDir(), nil)
	require.NoError(t, err)
	noBucket := empty.Delete(t.Context(), "nothing") // NotFound, as for a missing bucket
	others := map[string]error{
		"network":           activities.FromCloud(unreachable),
		"certificate":       activities.FromCloud(untrusted),
		"database-network":  unreachable,
		"database-cut":      io.ErrUnexpectedEOF,
		"database-untrust":  untrusted,
		"archive":           activities.FromArchive(unreachable),
		"archive-denied":    activities.FromArchive(&fs.PathError{Op: "open", Err: syscall.EACCES}),
		"archive-no-bucket": activities.FromArchive(noBucket),
		"mapped-fix":        &postgres.MappedTableError{Err: errors.New("no replica identity"), Fix: []string{"ALTER TABLE …"}},
		"mapped-file":       fmt.Errorf("publishing: %w", &postgres.MappedTableError{Err: new(postgres.MappingsError)}),
		"sink-denied":       &fs.PathError{Op: "open", Path: "/records", Err: syscall.EACCES},
		"sink-full":         &fs.PathError{Op: "write", Path: "/records", Err: syscall.ENOSPC},
		"superseded":        sink.ErrSuperseded,
		"else":              errors.New("something else"),
	}
	check([]row{
		{"network", activities.ErrorCloud, retried, "the cloud or the network"},
		{"certificate", activities.ErrorRequestRefused, final, "the server is not the API"},
		{"database-network database-cut", down, retried, "restart or failover"},
		{"database-untrust", down, retried, "the certificate may be replaced, or is that of a sink's own server"},
		{"sink-denied sink-full", activities.ErrorOther, retried, "a sink's own files, not the spool's"},
		{"archive", activities.ErrorArchive, retried, "the object store or the network"},
		{"archive-denied archive-no-bucket", activities.ErrorArchive, briefly, "the bucket is missing or not writable"},
		{"mapped-fix", mapped, final, "the sentence has the statement that fixes it"},
		{"mapped-file", mapped, briefly, "this worker has an old mappings file; another one may not"},
		{"superseded", activities.ErrorSuperseded, final, "the import starts over, if it is still wanted"},
		{"else", activities.ErrorOther, retried, "unknown"},
	}, func(name string) error { return others[name] })
}
