package scrapehaul_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
)

func TestProcessesOpenOnlyConfiguredPorts(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HEALTH_ADDRESS": "", "METRICS_ADDRESS": ""})
	worker := s.StartWorker(s.Spool)
	starter, _, err := s.Programs.StartStarter(s.Env)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, starter.Stop()) })
	require.Equal(t, 0, listeners(t, worker.PID()))
	require.Equal(t, 1, listeners(t, starter.PID()), "the webhook")
	require.Empty(t, s.Scrape())

	s.Env = s.Env.With("HEALTH_ADDRESS", "127.0.0.1:0").With("METRICS_ADDRESS", "127.0.0.1:0")
	asked := s.StartWorker(t.TempDir())
	s.WaitFor("a port when it is asked for", func() bool { return listeners(t, asked.PID()) == 1 })
	require.Len(t, s.Scrape(), 1)
}

// listeners counts the TCP ports that a process listens on.
func listeners(t *testing.T, pid int) (n int) {
	t.Helper()
	inodes := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if os.IsNotExist(err) {
			continue // a machine without IPv6
		}
		require.NoError(t, err)
		for line := range strings.Lines(string(content)) {
			const listening = "0A"
			if fields := strings.Fields(line); len(fields) > 9 && fields[3] == listening {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
	}
	descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	require.NotEmpty(t, descriptors)
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && inodes[target] {
			n++
		}
	}
	return n
}
