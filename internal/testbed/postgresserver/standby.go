package postgresserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

// ErrNoBaseBackup is returned if PostgreSQL's pg_basebackup is missing.
var ErrNoBaseBackup = errors.New("pg_basebackup is not installed (Debian: postgresql-client)")

// StartStandby starts an asynchronous hot standby of a server that Start started, and
// returns it. Its databases have the same names and password.
func (s *Server) StartStandby(ctx context.Context) (*Server, error) {
	if s.cluster == nil {
		return nil, ErrNotOurs
	}
	// PATH may only have links to the server's programs.
	initdb, err := filepath.EvalSymlinks(filepath.Join(s.cluster.programs, "initdb"))
	if err != nil {
		return nil, err
	}
	backup, err := exec.LookPath(filepath.Join(filepath.Dir(initdb), "pg_basebackup"))
	if err != nil {
		return nil, ErrNoBaseBackup
	}
	c := &cluster{programs: s.cluster.programs, account: s.cluster.account, opts: s.cluster.opts, password: s.cluster.password}
	if c.dir, err = makeDir(c.account, parentDir(c.opts)); err != nil {
		return nil, err
	}
	if c.port, err = childprocess.FreePort(); err == nil {
		command := exec.CommandContext(ctx, backup, "-D", c.dataDir(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", s.url.String())
		command.Dir, command.Env = c.dir, environment
		command.SysProcAttr = &syscall.SysProcAttr{Credential: c.account}
		if output, runErr := command.CombinedOutput(); runErr != nil {
			err = fmt.Errorf("%s: %w:\n%s", backup, runErr, output)
		} else {
			err = c.start(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	standby := &Server{url: c.url(), cluster: c, leftOver: map[string]struct{}{}}
	if standby.admin, err = sql.Open("postgres", standby.url.String()); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return standby, nil
}

// URL returns the URL of a database of the server.
func (s *Server) URL(database string) string {
	u := *s.url
	u.Path = "/" + database
	return u.String()
}

// Lose permanently stops a server that Start started, in immediate mode. Stop still removes
// its data.
func (s *Server) Lose() error {
	if s.cluster == nil {
		return ErrNotOurs
	}
	s.cluster.lost = true
	return s.cluster.process.Stop()
}
