package postgresserver

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

func TestServiceIsRestarted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	first, stop, err := startService(childprocess.Command{Path: "/bin/sh", Args: []string{"-c", "echo x >>" + file + "; exec sleep 100"}, StopSignal: syscall.SIGTERM})
	require.NoError(t, err)
	starts := func(n int64) func() bool {
		return func() bool { info, err := os.Stat(file); return err == nil && info.Size() == 2*n }
	}
	require.Eventually(t, starts(1), time.Minute, time.Millisecond)
	require.NoError(t, syscall.Kill(first.PID(), syscall.SIGKILL))
	require.Eventually(t, starts(2), time.Minute, time.Millisecond)
	require.NoError(t, stop())
}
