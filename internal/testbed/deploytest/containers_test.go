package deploytest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
)

// patience allows for machines much slower than ours.
const patience = 3 * time.Minute

// containers runs commands of containers as processes on this machine, with exactly the
// containers' environment, on real servers.
type containers struct {
	t   *testing.T
	dir string // for volumes
	db  *sqlx.DB
	log *programtest.Log
	// here translates addresses and folders of containers.
	here *strings.Replacer
}

// newContainers starts the servers, which replace the Temporal and the database with these
// addresses. Services and this host listen on other ports, and volumes, by mount path, are
// folders.
func newContainers(t *testing.T, temporal, databaseURL string, services []string, volumes map[string]string) *containers {
	requirePrograms(t) // before ports are chosen, which stay free for a minute
	c := &containers{t: t, dir: t.TempDir(), log: new(programtest.Log)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs:\n%s", c.log)
		}
	})
	database := postgrestest.NewDatabase(t)
	var err error
	c.db, err = sqlx.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.db.Close()) })

	translations := []string{temporal, temporaltest.NewServer(t).HostPort, databaseURL, database}
	for _, port := range []string{"8080", "8081", "8082", "8090"} {
		free, err := childprocess.FreePort()
		require.NoError(t, err)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(free))
		for _, host := range append(services, "127.0.0.1", "") {
			translations = append(translations, host+":"+port, address)
		}
	}
	for target, name := range volumes { // mounts exist
		require.NoError(t, os.MkdirAll(filepath.Join(c.dir, name), 0o700))
		translations = append(translations, target, filepath.Join(c.dir, name))
	}
	c.here = strings.NewReplacer(translations...)
	return c
}

// command returns a command in a container with that environment.
func (c *containers) command(command []string, environment map[string]string) *exec.Cmd {
	c.t.Helper()
	prepared := exec.Command(programFile(c.t, command[0]))
	for _, argument := range command[1:] {
		prepared.Args = append(prepared.Args, c.here.Replace(argument))
	}
	prepared.Env = []string{"HOME=" + c.dir} // containers have one too
	for name, value := range environment {
		prepared.Env = append(prepared.Env, name+"="+c.here.Replace(value))
	}
	return prepared
}

// run starts the command; one that serves is stopped at the end of the test.
func (c *containers) run(command *exec.Cmd, serves bool) *childprocess.Process {
	c.t.Helper()
	started, err := childprocess.Start(childprocess.Command{
		Path: command.Path, Args: command.Args[1:], Env: command.Env, Log: c.log, StopTimeout: time.Minute,
	})
	require.NoError(c.t, err)
	if serves {
		c.t.Cleanup(func() { require.NoError(c.t, started.Stop()) })
	}
	return started
}

func requireRunning(t *testing.T, process *childprocess.Process) {
	t.Helper()
	select {
	case <-process.Done():
		require.NoError(t, process.EndedByItself())
	default:
	}
}

func (c *containers) waitFor(what string, is func() bool, seen func() string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(100 * time.Millisecond) {
		require.True(c.t, time.Now().Before(deadline), "waited %s for %s: %s", patience, what, seen())
	}
}
