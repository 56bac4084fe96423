package failures

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
)

// diskSize returns the size of the disk, more than is ever free on it.
func diskSize(t *testing.T, dir string) (bytes string) {
	t.Helper()
	_, size, err := diskspace.Of(dir)
	require.NoError(t, err)
	return strconv.FormatInt(size, 10)
}

func TestSpoolBelowItsReserve(t *testing.T) {
	c := chaos.Begin(t, "the spool's disk has less free space than SPOOL_MIN_FREE", "nothing is downloaded until there is room (here: with a lower limit)")
	roomy := c.Env
	c.Env = roomy.With("SPOOL_MIN_FREE", diskSize(t, c.Spool))
	worker := c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	untilDiskFull(c, id)
	require.Zero(t, c.Downloads(id))
	c.Observe("no download until then")
	require.NoError(t, worker.Stop())
	c.Env = roomy
	c.Worker(c.Spool)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestFullWorkerAmongOthers(t *testing.T) {
	const jobs = 20
	c := chaos.Begin(t, fmt.Sprintf("the spool's disk of one of two workers is full, and %d jobs finish", jobs),
		"the other one imports them all; no job is tied to the full one")
	roomy := c.Env
	c.Env = roomy.With("SPOOL_MIN_FREE", diskSize(t, c.Spool))
	c.Worker(c.Spool)
	first := c.Finished(100)
	untilDiskFull(c, first)
	c.Env = roomy
	c.Worker(t.TempDir())
	ids := []int64{first}
	for range jobs - 1 {
		ids = append(ids, c.Finished(100))
	}
	finished := time.Now()
	for _, id := range ids {
		c.RequireGone(id, 100)
	}
	c.RequireEmptySpools()
	c.Observe("imported within %.0f s", time.Since(finished).Seconds())
}

func TestDiskFull(t *testing.T) {
	c := chaos.Begin(t, "the spool's disk fills up during the download (a file system of 8 MB, ENOSPC)",
		"retried until there is room, without leaving a file", "HEARTBEAT_TIMEOUT=10s")
	c.Env = c.Env.With("SPOOL_MIN_FREE", "1")
	spool := smallDisk(t, 8<<20)
	c.Worker(spool)
	id := c.Finished(chaos.Many)
	untilDiskFull(c, id)
	require.NotZero(t, c.Downloads(id))
	c.WaitFor("the broken file's removal", func() bool {
		files, _ := filepath.Glob(filepath.Join(spool, "scrapingjob-*"))
		return len(files) == 0
	})
	// The first attempt did not know the size of the file; the others do.
	logged, _, found := strings.Cut(c.Log.String(), ": "+syscall.ENOSPC.Error())
	require.True(t, found, "the log says why")
	written := logged[strings.LastIndex(logged, "write after ")+len("write after "):]
	c.Observe("“%s” after %s bytes", syscall.ENOSPC, strings.Fields(written)[0])
	resize(t, spool, 64<<20)
	c.RequireImported(id, chaos.Many)
}

func TestSpoolFolderGone(t *testing.T) {
	c := chaos.Begin(t, "the worker's spool folder is replaced by a file", "the import needs attention within a minute; once the folder is back, reconciliation has the job imported")
	c.Worker(c.Spool)
	require.NoError(t, os.RemoveAll(c.Spool))
	require.NoError(t, os.WriteFile(c.Spool, nil, 0o600))
	notified := time.Now()
	id := c.Finished(1000)
	c.RequireAttention(id, 0, "SPOOL_DIR")
	require.Less(t, time.Since(notified), time.Minute)
	require.NoError(t, os.Remove(c.Spool))
	require.NoError(t, os.Mkdir(c.Spool, 0o700))
	c.Reconcile("1 of 1 jobs are due")
	c.RequireImported(id, 1000)
}

// untilDiskFull waits until the download is being retried because the disk is full.
func untilDiskFull(c *chaos.Case, id int64) {
	c.T.Helper()
	c.WaitFor("a full disk", func() bool {
		for _, pending := range c.Describe(id).GetPendingActivities() {
			if pending.GetLastFailure().GetApplicationFailureInfo().GetType() == "DiskFull" {
				return true
			}
		}
		return false
	})
}

// smallDisk mounts a file system of that size for the duration of the test, and skips the
// test if that is not permitted.
func smallDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+strconv.Itoa(bytes), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mounting a small disk needs root on Linux: %v\n%s", err, output)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	require.NoError(t, os.Chmod(dir, 0o700))
	return dir
}

func resize(t *testing.T, dir string, bytes int) {
	t.Helper()
	output, err := exec.Command("mount", "-o", "remount,size="+strconv.Itoa(bytes), dir).CombinedOutput()
	require.NoError(t, err, "%s", output)
}
