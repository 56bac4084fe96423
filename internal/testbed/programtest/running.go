package programtest

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// Limits for the slowest machine.
const (
	waitAtMost = time.Minute
	pollEvery  = 10 * time.Millisecond
)

// Running is a program.Main in a goroutine of the test. Only one may run at a time, as the
// signal that ends it goes to the whole test process.
type Running struct {
	Log *Log // its standard error
	Out *Log // its standard output

	t         testing.TB
	terminate sync.Once
	ended     chan struct{}
	code      int // read after ended
}

// Start starts program.Main and stops it at the end of the test. It may not handle signals
// before WaitForLog has returned.
func Start(t testing.TB, name string, commands any, args ...string) *Running {
	t.Helper()
	r := &Running{Log: new(Log), Out: new(Log), t: t, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.code = program.Main(name, "", commands, args, program.Streams{Out: r.Out, Err: r.Log})
	}()
	t.Cleanup(func() { r.Stop() })
	return r
}

// WaitForLog waits until the message is logged and returns the attributes of the last log
// line with it. The test fails if the process ends without it.
func (r *Running) WaitForLog(message string) (attributes map[string]any) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.hasEnded() || r.logged(message) != nil },
		waitAtMost, pollEvery, "no %q in the log:\n%s", message, r.Log)
	attributes = r.logged(message)
	require.NotNil(r.t, attributes, "no %q in the log:\n%s", message, r.Log)
	return attributes
}

func (r *Running) logged(message string) (attributes map[string]any) {
	for line := range strings.Lines(r.Log.String()) {
		var read map[string]any
		if json.Unmarshal([]byte(line), &read) == nil && read["msg"] == message {
			attributes = read
		}
	}
	return attributes
}

func (r *Running) hasEnded() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// Terminate sends SIGTERM to this process, unless program.Main has ended or got it before: a
// second one would end the test.
func (r *Running) Terminate() {
	r.t.Helper()
	r.terminate.Do(func() {
		if !r.hasEnded() {
			require.NoError(r.t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
		}
	})
}

// Stop terminates program.Main, waits for it, and returns its exit code.
func (r *Running) Stop() int {
	r.t.Helper()
	r.Terminate()
	<-r.ended
	return r.code
}
