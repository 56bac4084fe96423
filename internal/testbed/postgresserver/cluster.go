package postgresserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

const (
	loopback  = "127.0.0.1"
	superuser = "scrapehaul"

	// startTimeout bounds the start of a server, including recovery.
	startTimeout = time.Minute
)

// cluster is a throw-away PostgreSQL cluster and its server.
type cluster struct {
	dir      string // has all files of the cluster
	programs string // the folder of initdb and postgres
	account  *syscall.Credential
	port     int
	password string
	opts     Options

	process *childprocess.Process
	lost    bool // the server was stopped permanently
}

func startCluster(ctx context.Context, opts Options) (*cluster, error) {
	c := &cluster{opts: opts, password: rand.Text()}
	var err error
	if c.account, err = accountForRoot(); err != nil {
		return nil, err
	}
	if c.dir, err = makeDir(c.account, parentDir(opts)); err != nil {
		return nil, err
	}
	if err := c.create(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	return c, nil
}

const (
	// memory is Linux's in-memory file system. Creating a database there takes a tenth
	// of the time on a disk.
	memory = "/dev/shm"
	// memoryWanted leaves room for the clusters of packages that are tested
	// concurrently. A container has 64 MB by default.
	memoryWanted = 4 << 30
)

// parentDir returns where to create the cluster's folder.
func parentDir(opts Options) string {
	// Downloaded programs are in the folder too, and may not be executable there.
	if _, installed := InstalledPrograms(); installed && opts.NoSync && freeBytes(memory) >= memoryWanted {
		return memory
	}
	return os.TempDir()
}

// freeBytes returns what an ordinary user may still write to dir's file system, 0 if there
// is none.
func freeBytes(dir string) int64 {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0
	}
	return int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert // the types differ between systems
}

// create fills the cluster's folder and starts the server.
func (c *cluster) create(ctx context.Context) error {
	var err error
	if c.programs, err = findPrograms(ctx, c.dir, c.opts.Progress); err != nil {
		return err
	}
	if c.port, err = childprocess.FreePort(); err != nil {
		return err
	}
	if err := c.initdb(ctx); err != nil {
		return err
	}
	return c.start(ctx)
}

func (c *cluster) dataDir() string { return filepath.Join(c.dir, "data") }

// initdb creates the cluster, with a password: everybody on this machine can connect to
// 127.0.0.1, and a superuser can run programs.
func (c *cluster) initdb(ctx context.Context) error {
	passwordFile := filepath.Join(c.dir, "password")
	if err := writeFor(c.account, passwordFile, c.password); err != nil {
		return err
	}
	program := filepath.Join(c.programs, "initdb")
	initdb := exec.CommandContext(ctx, program,
		"--pgdata", c.dataDir(), "--username", superuser, "--pwfile", passwordFile,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync")
	initdb.Dir = c.dir
	initdb.Env = environment
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.account}
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", program, err, output)
	}
	return os.Remove(passwordFile)
}

// environment keeps our PG* variables and locale from the server.
var environment = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}

func (c *cluster) start(ctx context.Context) error {
	settings := map[string]string{
		"listen_addresses":        loopback,
		"port":                    strconv.Itoa(c.port),
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "256MB",
		"max_wal_size":            "2GB",
	}
	if c.opts.NoSync {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
		settings["max_wal_size"] = "512MB"
	}
	args := []string{"-D", c.dataDir()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	var err error
	c.process, err = childprocess.Start(childprocess.Command{
		Path:       filepath.Join(c.programs, "postgres"),
		Args:       args,
		Dir:        c.dir,
		Env:        environment,
		Credential: c.account,
		Log:        c.opts.Log,
		// Immediate mode: nobody needs the data afterwards.
		StopSignal:         syscall.SIGQUIT,
		OrphanSignal:       syscall.SIGQUIT,
		RemoveWhenOrphaned: c.dir,
	})
	if err != nil {
		return err
	}
	if err := waitFor(ctx, c.url(), c.process); err != nil {
		// If the server has died, Stop fails too.
		_ = c.process.Stop()
		return err
	}
	return nil
}

// url returns the URL of the database postgres, which every cluster has.
func (c *cluster) url() *url.URL {
	return &url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(c.port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
}

func (c *cluster) restart(ctx context.Context) error {
	if err := c.process.Stop(); err != nil {
		return err
	}
	return c.start(ctx)
}

func (c *cluster) stop() error {
	return errors.Join(c.process.Stop(), os.RemoveAll(c.dir))
}
