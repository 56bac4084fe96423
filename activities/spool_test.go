package activities_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
)

func TestSpoolKeepsItsName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "created", "if necessary")
	name := openSpool(t, dir, 0).TaskQueue(queue)
	require.NotEmpty(t, name)
	require.Equal(t, name, openSpool(t, dir, 0).TaskQueue(queue))
	require.NotEqual(t, name, openSpool(t, t.TempDir(), 0).TaskQueue(queue))

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestWorkersThatOpenASpoolConcurrentlyGetOneName(t *testing.T) {
	for range 50 { // the race needs the right moment
		dir := t.TempDir()
		names := make([]string, 10)
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range names {
			all.Go(func() {
				<-start
				spool, err := activities.OpenSpool(dir, 0)
				if err != nil {
					t.Errorf("opening the spool: %v", err)
					return
				}
				names[i] = spool.TaskQueue(queue)
			})
		}
		close(start)
		all.Wait()
		require.Len(t, slices.Compact(names), 1)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "only the name file")
	}
}

func TestSpoolWaitsWhileAnotherWorkerWritesTheName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".scrapehaul-spool")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	var writing sync.WaitGroup
	writing.Go(func() { _ = os.WriteFile(path, []byte("host-abc\n"), 0o600) })
	require.Equal(t, queue+"@host-abc", openSpool(t, dir, 0).TaskQueue(queue))
	writing.Wait()
}

func TestSpoolIsNamedAfterTheNamingWorkerWasKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, ".scrapehaul-spool")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	names := make([]string, 3)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() { names[i] = openSpool(t, dir, 0).TaskQueue(queue) })
	}
	all.Wait()
	require.NotEqual(t, queue+"@", names[0])
	require.Len(t, slices.Compact(names), 1)
	require.Equal(t, names[0], openSpool(t, dir, 0).TaskQueue(queue), "it does not change")
}

func TestSpoolThatCannotBeCreatedIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := activities.OpenSpool(path, 0)
	require.ErrorContains(t, err, path)
}
