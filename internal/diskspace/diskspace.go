// Package diskspace returns the size and free space of file systems.
package diskspace

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
)

// Of returns how many bytes an unprivileged user can still write to the folder's file
// system, and its size in bytes.
func Of(dir string) (free, size int64, err error) {
	free, size, err = measure(dir)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "asking for the free space of", Path: dir, Err: err}
	}
	return free, size, nil
}

// IsFull reports whether the error says that a file system has no room left, or none for this user.
func IsFull(err error) bool {
	return slices.ContainsFunc(noRoom, func(errno syscall.Errno) bool { return errors.Is(err, errno) })
}
