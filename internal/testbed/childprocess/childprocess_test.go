package childprocess_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

// These tests observe processes from outside. With roleVariable set, the test binary is one
// of those processes instead.
const (
	roleVariable    = "CHILDPROCESS_TEST_ROLE"
	addressVariable = "CHILDPROCESS_TEST_ADDRESS" // of the test's listener
	removeVariable  = "CHILDPROCESS_TEST_REMOVE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "parent":
		beParent()
	case "child":
		beChild()
	default:
		os.Exit(m.Run())
	}
}

// beParent starts a child and then does nothing, not even on Ctrl-C.
func beParent() {
	signal.Ignore(os.Interrupt)
	_, err := childprocess.Start(childprocess.Command{
		Path:               os.Args[0],
		Env:                append(os.Environ(), roleVariable+"=child"),
		Log:                os.Stderr,
		RemoveWhenOrphaned: os.Getenv(removeVariable),
	})
	if err != nil {
		panic(err)
	}
	select {}
}

// beChild connects to the test and echoes, so that the test sees that it is alive and when
// it dies.
func beChild() {
	connection, err := net.Dial("tcp", os.Getenv(addressVariable))
	if err != nil {
		panic(err)
	}
	_, err = io.Copy(connection, connection)
	panic(fmt.Sprint("the test closed the connection: ", err))
}

type family struct {
	parent *exec.Cmd
	child  net.Conn
	folder string
}

func startFamily(t *testing.T) family {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()

	f := family{parent: exec.Command(os.Args[0]), folder: filepath.Join(t.TempDir(), "folder with the child's files")}
	require.NoError(t, os.MkdirAll(filepath.Join(f.folder, "data"), 0o700))
	f.parent.Env = append(os.Environ(), roleVariable+"=parent",
		addressVariable+"="+listener.Addr().String(), removeVariable+"="+f.folder)
	f.parent.Stderr = os.Stderr
	f.parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, f.parent.Start())
	t.Cleanup(func() {
		_ = f.parent.Process.Kill()
		_ = f.parent.Wait()
	})

	f.child, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.child.Close() })
	require.NoError(t, f.child.SetDeadline(time.Now().Add(20*time.Second)))
	return f
}

func (f family) requireChildAlive(t *testing.T) {
	t.Helper()
	_, err := fmt.Fprintln(f.child, "alive?")
	require.NoError(t, err)
	echo, err := bufio.NewReader(f.child).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "alive?\n", echo)
}

func TestChildDiesWithItsKilledParent(t *testing.T) {
	t.Parallel()
	f := startFamily(t)
	f.requireChildAlive(t)

	require.NoError(t, f.parent.Process.Kill())

	_, err := f.child.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the connection of a dead child is closed")
	require.Eventually(t, func() bool {
		_, err := os.Stat(f.folder)
		return os.IsNotExist(err)
	}, 20*time.Second, 10*time.Millisecond, "the child's files are removed")
}

func TestChildSurvivesCtrlC(t *testing.T) {
	t.Parallel()
	f := startFamily(t)

	foregroundGroup := -f.parent.Process.Pid
	require.NoError(t, syscall.Kill(foregroundGroup, syscall.SIGINT))

	f.requireChildAlive(t)
}

func shell(t *testing.T, script string, stopTimeout time.Duration) *childprocess.Process {
	t.Helper()
	p, err := childprocess.Start(childprocess.Command{
		Path:        "/bin/sh",
		Args:        []string{"-c", script},
		StopTimeout: stopTimeout,
	})
	require.NoError(t, err)
	return p
}

func TestStopEndsAChild(t *testing.T) {
	t.Parallel()
	p := shell(t, "exec sleep 60", time.Minute)

	require.NoError(t, p.Stop())
	require.NoError(t, p.Stop(), "again")
	<-p.Done()
}

func TestStopKillsAChildThatIgnoresIt(t *testing.T) {
	t.Parallel()
	ready := filepath.Join(t.TempDir(), "ready")
	p := shell(t, "trap '' TERM; : > '"+ready+"'; while :; do sleep 0.1; done", 100*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := os.Stat(ready)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)

	require.ErrorContains(t, p.Stop(), "did not stop within 100ms and was killed")
}

func TestChildThatEndsByItselfIsReportedWithItsLastOutput(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"echo disk full >&2; exit 3":   "ended by itself: sh: exit status 3; last output:\ndisk full\n",
		"echo nothing to do":           "ended by itself: sh: exit status 0; last output:\nnothing to do\n",
		"echo interrupted; kill -9 $$": "ended by itself: sh: signal: killed; last output:\ninterrupted\n",
	} {
		p := shell(t, script, time.Minute)
		<-p.Done()
		require.EqualError(t, p.Stop(), want)
	}
}

func TestWaitReturnsAnErrorOnFailure(t *testing.T) {
	t.Parallel()
	require.NoError(t, shell(t, "exit 0", time.Minute).Wait())
	require.ErrorContains(t, shell(t, "exit 1", time.Minute).Wait(), "exit status 1")
}

func TestOnlyTheEndOfALongLogIsKept(t *testing.T) {
	t.Parallel()
	err := shell(t, "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; exit 1", time.Minute).Wait()
	require.ErrorContains(t, err, "line 2000\n")
	require.Less(t, len(err.Error()), 5000)
}

// Not parallel: a process being forked briefly has a copy of every listener.
func TestFreePortsCanBeListenedOnAndDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := childprocess.FreePort()
		require.NoError(t, err)
		require.False(t, seen[port], "port %d was returned twice", port)
		seen[port] = true
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}
