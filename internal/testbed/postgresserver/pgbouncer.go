package postgresserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

// ErrNoPgBouncer is returned if PgBouncer is missing.
var ErrNoPgBouncer = errors.New("PgBouncer is not installed (Debian: pgbouncer)")

// StartPgBouncer starts PgBouncer in that pool_mode in front of the database, and returns
// the URL through it and a function that stops it.
func StartPgBouncer(ctx context.Context, databaseURL, poolMode string) (throughIt string, stop func() error, err error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return "", nil, ErrNoPgBouncer
		}
	}
	to, err := parseURL(databaseURL)
	if err != nil {
		return "", nil, err
	}
	account, err := accountForRoot()
	if err != nil {
		return "", nil, err
	}
	dir, err := makeDir(account, os.TempDir())
	if err != nil {
		return "", nil, err
	}
	port, err := childprocess.FreePort()
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	password, _ := to.User.Password()
	users, settings := filepath.Join(dir, "users.txt"), filepath.Join(dir, "pgbouncer.ini")
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	err = errors.Join(
		writeFor(account, users, quote(to.User.Username())+" "+quote(password)+"\n"),
		writeFor(account, settings, fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s
pool_mode = %s
default_pool_size = 40
`, to.Hostname(), to.Port(), loopback, port, users, poolMode)))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	process, stopService, err := startService(childprocess.Command{
		Path: program, Args: []string{settings}, Dir: dir, Env: environment, Credential: account,
		StopSignal: syscall.SIGQUIT, RemoveWhenOrphaned: dir,
	})
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() error { return errors.Join(stopService(), os.RemoveAll(dir)) }
	through := *to
	through.Host = net.JoinHostPort(loopback, strconv.Itoa(port))
	if err := waitFor(ctx, &through, process); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return through.String(), stop, nil
}

// maxRestarts bounds the restarts of a service that keeps ending.
const maxRestarts = 5

// startService runs a program and restarts it when it ends by itself, like a service
// manager: PgBouncer 1.18 to 1.20 may crash when a query is canceled and its connection
// lost (https://github.com/pgbouncer/pgbouncer/issues/822). first is its first process.
func startService(command childprocess.Command) (first *childprocess.Process, stop func() error, err error) {
	first, err = childprocess.Start(command)
	if err != nil {
		return nil, nil, err
	}
	stopping, stopped := make(chan struct{}), make(chan error)
	go func() {
		process, err := first, error(nil)
		for restarts := 0; err == nil; restarts++ {
			select {
			case <-stopping:
				stopped <- process.Stop()
				return
			case <-process.Done():
			}
			if err = process.EndedByItself(); restarts < maxRestarts {
				process, err = childprocess.Start(command)
			}
		}
		<-stopping
		stopped <- err
	}()
	return first, sync.OnceValue(func() error { close(stopping); return <-stopped }), nil
}

func writeFor(account *syscall.Credential, path, content string) error {
	return errors.Join(os.WriteFile(path, []byte(content), 0o600), giveTo(account, path))
}

// waitFor waits until the server answers.
func waitFor(ctx context.Context, at *url.URL, process *childprocess.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("postgres", at.String())
	if err != nil {
		return err
	}
	defer db.Close()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			return process.EndedByItself()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the server at %s: %w", at.Host, errors.Join(ctx.Err(), err))
		case <-retry.C:
		}
	}
}
