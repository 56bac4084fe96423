package archive_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/scrapehaul/scrapehaul/archive"
)

func TestFileThatCannotBeMadeDurableIsNotArchived(t *testing.T) {
	dir, text := t.TempDir(), content("a")
	bucket := openFolder(t, dir)
	breaks := readerFunc(func([]byte) (int, error) {
		replaceOpenFileIn(t, dir, os.DevNull) // which cannot be synced
		return 0, io.EOF
	})
	err := archive.New(bucket).Put(t.Context(), describe(12, requestedAt, text), io.MultiReader(strings.NewReader(text), breaks))
	require.ErrorIs(t, err, unix.EINVAL)
	require.Empty(t, keys(t, bucket))
}

// replaceOpenFileIn makes this process's open file in the folder another one.
func replaceOpenFileIn(t *testing.T, dir, other string) {
	t.Helper()
	const open = "/proc/self/fd"
	entries, err := os.ReadDir(open)
	require.NoError(t, err)
	for _, entry := range entries {
		path, err := os.Readlink(filepath.Join(open, entry.Name()))
		if err != nil || !strings.HasPrefix(path, dir+"/") || !strings.HasSuffix(path, ".tmp") {
			continue
		}
		file, err := os.OpenFile(other, os.O_WRONLY, 0)
		require.NoError(t, err)
		number := 0
		for _, digit := range entry.Name() {
			number = 10*number + int(digit-'0')
		}
		require.NoError(t, unix.Dup3(int(file.Fd()), number, unix.O_CLOEXEC))
		require.NoError(t, file.Close())
		return
	}
	require.Fail(t, "no temporary file is open", dir)
}

func TestFoldersOfAnArchivedFileAreMadeDurable(t *testing.T) {
	dir, text := t.TempDir(), content("a")
	file := describe(12, requestedAt, text)
	file.Account = "acme"
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(watch)) }()
	folders := map[int32]string{}
	for _, name := range []string{"", "accounts", "accounts/acme", "accounts/acme/scrapingjobs", "accounts/acme/scrapingjobs/12"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
		number, err := unix.InotifyAddWatch(watch, filepath.Join(dir, name), unix.IN_OPEN|unix.IN_MOVED_TO)
		require.NoError(t, err)
		folders[int32(number)] = name
	}
	put(t, openFolder(t, dir), file, text)

	buffer := make([]byte, 1<<20)
	n, err := unix.Read(watch, buffer)
	require.NoError(t, err)
	renamed := false
	for at := 0; at < n; {
		event := (*unix.InotifyEvent)(unsafe.Pointer(&buffer[at]))
		at += unix.SizeofInotifyEvent + int(event.Len)
		if event.Mask&unix.IN_MOVED_TO != 0 {
			renamed = true
		} else if renamed && event.Len == 0 { // the folder itself was opened
			delete(folders, event.Wd)
		}
	}
	require.True(t, renamed)
	require.Empty(t, folders, "not synced")
}
