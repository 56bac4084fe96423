//go:build linux && amd64

package activities_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/scrapehaul/scrapehaul/activities"
)

// refusedVariable has an error and the numbers of system calls. The kernel refuses these
// calls with that error in the process that opens the spool, like a file system that lacks
// them or is full.
const refusedVariable = "SCRAPEHAUL_TEST_REFUSED_SYSTEM_CALLS"

// openSpoolWithout opens the spool in a separate process.
func openSpoolWithout(t *testing.T, dir string, errno unix.Errno, calls ...int) (output string, err error) {
	t.Helper()
	opening := exec.Command(os.Args[0], "-test.run=^TestOpenSpoolInASeparateProcess$", "--", dir)
	opening.Env = append(os.Environ(), refusedVariable+"="+strings.Trim(fmt.Sprint(append([]int{int(errno)}, calls...)), "[]"))
	combined, err := opening.CombinedOutput()
	return string(combined), err
}

func TestOpenSpoolInASeparateProcess(t *testing.T) {
	refused, ok := os.LookupEnv(refusedVariable)
	if !ok {
		return // started by the tests below
	}
	var calls []uint32
	for _, number := range strings.Fields(refused) {
		call, err := strconv.ParseUint(number, 10, 32)
		require.NoError(t, err)
		calls = append(calls, uint32(call))
	}
	errno := calls[0]
	refuse(t, errno, calls[1:])
	dir := os.Args[len(os.Args)-1]
	if errno != 0 { // 0 reports success without doing anything
		require.ErrorIs(t, os.Link(dir, filepath.Join(dir, "link")), unix.Errno(errno))
	}
	spool, err := activities.OpenSpool(dir, 0)
	require.NoError(t, err)
	fmt.Println("opened "+spool.TaskQueue(queue), "with locks:", activities.LockProcess(spool) != "")
}

// refuse makes the kernel refuse these system calls of this process.
func refuse(t *testing.T, errno uint32, calls []uint32) {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the system call's number
	for _, call := range calls {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	_, _, refused := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, refused)
}

var (
	links   = []int{unix.SYS_LINK, unix.SYS_LINKAT}
	renames = []int{unix.SYS_RENAME, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2}
	removes = []int{unix.SYS_UNLINK, unix.SYS_UNLINKAT}
)

func TestSpoolNeedsNoHardLinks(t *testing.T) {
	dir := t.TempDir()
	output, err := openSpoolWithout(t, dir, unix.EPERM, links...)
	require.NoError(t, err, output)
	require.Contains(t, output, "opened "+openSpool(t, dir, 0).TaskQueue(queue)+" with locks: true")
}

// The last errno is none: a file system may grant every lock.
func TestSpoolNeedsNoLocks(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.ENOLCK, unix.EOPNOTSUPP, 0} {
		dir := t.TempDir()
		output, err := openSpoolWithout(t, dir, errno, append(links, unix.SYS_FLOCK)...)
		require.NoError(t, err, output)
		require.Contains(t, output, "with locks: false", errno)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "its name")
	}
}

func TestSpoolOnAnUnsuitableFileSystemIsRefusedAtStart(t *testing.T) {
	for lacking, calls := range map[string][]int{
		"creating a file: ":                          {unix.SYS_OPENAT},
		"writing, truncating and rewriting a file: ": {unix.SYS_FTRUNCATE},
		"renaming a file over another one: ":         renames,
		"removing a file: ":                          removes,
	} {
		t.Run(lacking, func(t *testing.T) {
			dir := t.TempDir()
			output, err := openSpoolWithout(t, dir, unix.EPERM, append(calls, links...)...)
			require.Error(t, err)
			require.Contains(t, output, "the file system of SPOOL_DIR "+dir+" cannot keep downloads: "+lacking)
			require.Contains(t, output, "operation not permitted: choose a folder on another one")
		})
	}
}

// Importing its files frees the disk.
func TestSpoolOnAFullDiskIsOpened(t *testing.T) {
	dir := t.TempDir()
	name := openSpool(t, dir, 0).TaskQueue(queue)
	output, err := openSpoolWithout(t, dir, unix.ENOSPC, append(links, unix.SYS_PWRITE64)...)
	require.NoError(t, err, output)
	require.Contains(t, output, "opened "+name)
}
