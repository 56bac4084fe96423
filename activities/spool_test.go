package activities_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
)

func TestSpoolKeepsItsName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "if need be")
	name := openSpool(t, dir, 0).Name()
	require.NotEmpty(t, name)
	require.Equal(t, name, openSpool(t, dir, 0).Name())
	require.NotEqual(t, name, openSpool(t, t.TempDir(), 0).Name())

	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestWorkersThatOpenASpoolTogetherGetOneName(t *testing.T) {
	dir := t.TempDir()
	names := make([]string, 20)
	var all sync.WaitGroup
	for i := range names {
		all.Go(func() {
			spool, err := activities.OpenSpool(dir, 0)
			if err != nil {
				t.Errorf("opening the spool: %v", err)
				return
			}
			names[i] = spool.Name()
		})
	}
	all.Wait()
	for _, name := range names {
		require.Equal(t, names[0], name)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the proposals that lost are gone")
}

func TestSpoolThatCannotBeMadeIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := activities.OpenSpool(path, 0)
	require.ErrorContains(t, err, path)
}
