package operations

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestShellWithoutSettings(t *testing.T) {
	c := chaos.Begin(t, "`setup` and `reimport` in a shell without the settings, for a job with HOLD_BEFORE_DELETE=never",
		"imported again with the stored settings: the job stays", "HOLD_BEFORE_DELETE=never")
	c.Worker(c.Spool)
	id := c.Finished(1000)
	require.Equal(t, workflows.Kept, c.Result(id).Outcome)
	shell := c.Env
	shell.Settings = nil
	for _, args := range [][]string{{"setup"}, {"reimport", strconv.FormatInt(id, 10)}} {
		_, err := c.Programs.RunStarter(t.Context(), shell, args...)
		require.NoError(t, err)
	}
	result := c.Result(id)
	require.Equal(t, workflows.Kept, result.Outcome, result.Reason)
	require.Equal(t, int64(2), c.Imports(id))
	c.RequireOneDownload(id, 1000)
	c.RequireInCloud(id)
	c.RequireEmptySpools()
	c.Observe("imported twice, outcome %s: “%s”", result.Outcome, result.Reason)
}

func TestSecondInstallation(t *testing.T) {
	c := chaos.Begin(t, "a second starter with another task queue in the same namespace", "it exits with the reason; the first one's schedule and imports continue")
	c.WaitForSchedule() // else the first starter may be the second
	_, err := c.Programs.RunStarter(t.Context(), c.Env.With("TASK_QUEUE", "second"), "serve")
	require.ErrorContains(t, err, "exit status 1")
	require.ErrorContains(t, err, "this namespace belongs to another installation")
	c.Observe("exit status 1: “this namespace belongs to another installation”")
	c.Worker(c.Spool)
	c.RequireImported(c.Finished(1000), 1000)
}

func TestUnmountedSpool(t *testing.T) {
	c := chaos.Begin(t, "the spool's disk is not mounted when the worker starts: `SPOOL_DIR` does not exist", "it exits with the reason, and creates no folder elsewhere; the job is imported once the disk is mounted")
	id := c.Finished(1000)
	spool := filepath.Join(t.TempDir(), "disk", "spool")
	worker := exec.CommandContext(t.Context(), c.Programs.Worker, "run")
	worker.Env = c.Env.With("SPOOL_DIR", spool).Variables()
	output, err := worker.CombinedOutput()
	require.ErrorContains(t, err, "exit status 2")
	require.Contains(t, string(output), "which is not a folder here: mount its disk")
	require.NoDirExists(t, filepath.Dir(spool))
	require.NoError(t, os.MkdirAll(spool, 0o700))
	c.Worker(spool)
	c.RequireImported(id, 1000)
	c.Observe("exit status 2: “SPOOL_DIR is …, which is not a folder here: mount its disk, or create it …”")
}
