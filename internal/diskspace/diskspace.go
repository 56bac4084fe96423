// Package diskspace tells how much may still be written to a file system.
package diskspace

import "io/fs"

// Free is how many bytes an ordinary user may still write to the file system of the
// folder.
func Free(dir string) (bytes int64, err error) {
	bytes, err = free(dir)
	if err != nil {
		return 0, &fs.PathError{Op: "asking for the free space of", Path: dir, Err: err}
	}
	return bytes, nil
}
