//go:build unix

package diskspace

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// noRoom are the errors of writing to a full file system.
var noRoom = []syscall.Errno{unix.ENOSPC, unix.EDQUOT}

// measure returns what an unprivileged user can still write to dir's file system, and its
// size.
func measure(dir string) (free, size int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil //nolint:unconvert // the types differ between systems
}
