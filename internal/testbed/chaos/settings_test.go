package chaos

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestShellWithoutSettings(t *testing.T) {
	c := begin(t, "`setup` and `reimport` in a shell that has none of the settings, of a job that is to stay in the cloud for good",
		"imported again with the settings that are there: the job stays", "HOLD_BEFORE_DELETE=never")
	c.worker(c.Spool)
	id := c.finished(1000)
	require.Equal(t, workflows.Kept, c.Result(id).Outcome)
	shell := c.Env
	shell.Settings = nil
	for _, args := range [][]string{{"setup"}, {"reimport", strconv.FormatInt(id, 10)}} {
		_, err := c.Programs.RunStarter(t.Context(), shell, args...)
		require.NoError(t, err)
	}
	result := c.Result(id)
	require.Equal(t, workflows.Kept, result.Outcome, result.Reason)
	require.Equal(t, int64(2), c.imports(id))
	c.requireRecords(id, 1000)
	c.requireInCloud(id)
	c.requireEmptySpools()
	c.observe("imported twice, outcome %s: “%s”", result.Outcome, result.Reason)
}

func TestSecondInstallation(t *testing.T) {
	c := begin(t, "a second starter with another task queue in the same namespace", "it ends, and says why; the first one's schedule and imports go on")
	_, err := c.Programs.RunStarter(t.Context(), c.Env.With("TASK_QUEUE", "second"), "serve")
	require.ErrorContains(t, err, "exit status 1")
	require.ErrorContains(t, err, "this namespace has another installation")
	c.observe("exit status 1: “this namespace has another installation”")
	c.worker(c.Spool)
	c.requireImported(c.finished(1000), 1000)
}
