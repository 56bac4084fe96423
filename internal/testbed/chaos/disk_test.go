package chaos

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
)

// wholeDisk is more than is ever free of it.
func wholeDisk(t *testing.T, dir string) (bytes string) {
	t.Helper()
	_, size, err := diskspace.Of(dir)
	require.NoError(t, err)
	return strconv.FormatInt(size, 10)
}

func TestSpoolBelowItsReserve(t *testing.T) {
	c := begin(t, "the spool's disk has less free than SPOOL_MIN_FREE", "nothing is downloaded until there is room (here: a lower limit)")
	roomy := c.Env
	c.Env = roomy.With("SPOOL_MIN_FREE", wholeDisk(t, c.Spool))
	worker := c.worker(c.Spool)
	id := c.finished(many)
	c.untilDiskFull(id)
	require.Zero(t, c.Downloads(id))
	c.observe("no download until then")
	require.NoError(t, worker.Stop())
	c.Env = roomy
	c.worker(c.Spool)
	c.requireImported(id, many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestWorkerWithoutRoomBesideOthers(t *testing.T) {
	const jobs = 20
	c := begin(t, fmt.Sprintf("the spool's disk of one of two workers is full, and %d jobs finish", jobs),
		"the other one imports them all; none is bound to the full one")
	roomy := c.Env
	c.Env = roomy.With("SPOOL_MIN_FREE", wholeDisk(t, c.Spool))
	c.worker(c.Spool)
	first := c.finished(100)
	c.untilDiskFull(first)
	c.Env = roomy
	c.worker(t.TempDir())
	ids := []int64{first}
	for range jobs - 1 {
		ids = append(ids, c.finished(100))
	}
	begun := time.Now()
	for _, id := range ids {
		c.requireGone(id, 100)
	}
	c.requireEmptySpools()
	c.observe("imported within %.0f s", time.Since(begun).Seconds())
}

func TestDiskFull(t *testing.T) {
	c := begin(t, "the spool's disk is full in the download (a file system of 8 MB, ENOSPC)",
		"tried again until there is room, without leaving a file", "HEARTBEAT_TIMEOUT=10s")
	c.Env = c.Env.With("SPOOL_MIN_FREE", "1")
	spool := smallDisk(t, 8<<20)
	c.worker(spool)
	id := c.finished(many)
	c.untilDiskFull(id)
	require.NotZero(t, c.Downloads(id))
	c.WaitFor("the broken file's removal", func() bool {
		files, _ := filepath.Glob(filepath.Join(spool, "scrapingjob-*"))
		return len(files) == 0
	})
	// The first attempt did not know how much there was to write; the others do.
	told, _, found := strings.Cut(c.Log.String(), ": "+syscall.ENOSPC.Error())
	require.True(t, found, "the log says why")
	written := told[strings.LastIndex(told, "write after ")+len("write after "):]
	c.observe("“%s” after %s bytes", syscall.ENOSPC, strings.Fields(written)[0])
	resize(t, spool, 64<<20)
	c.requireImported(id, many)
}

func TestSpoolFolderGone(t *testing.T) {
	c := begin(t, "a file is where the worker's spool folder has been", "a person is told within a minute; once the folder is there, reconciliation has the job imported")
	c.worker(c.Spool)
	require.NoError(t, os.RemoveAll(c.Spool))
	require.NoError(t, os.WriteFile(c.Spool, nil, 0o600))
	begun := time.Now()
	id := c.finished(1000)
	c.requireAttention(id, 0, "SPOOL_DIR")
	require.Less(t, time.Since(begun), time.Minute)
	require.NoError(t, os.Remove(c.Spool))
	require.NoError(t, os.Mkdir(c.Spool, 0o700))
	c.reconcile("1 of 1 jobs are due")
	c.requireImported(id, 1000)
}

// untilDiskFull waits until the download is being retried because of that.
func (c *chaos) untilDiskFull(id int64) {
	c.T.Helper()
	c.WaitFor("a full disk", func() bool {
		for _, pending := range c.describe(id).GetPendingActivities() {
			if pending.GetLastFailure().GetApplicationFailureInfo().GetType() == "DiskFull" {
				return true
			}
		}
		return false
	})
}

// smallDisk mounts a file system of so many bytes for the time of the test, and
// skips the test where that is not allowed.
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
