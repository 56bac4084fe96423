// Package diskspace tells how large file systems are.
package diskspace

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
)

// Of is how many bytes an ordinary user may still write to the file system of the
// folder, and how many it has.
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
