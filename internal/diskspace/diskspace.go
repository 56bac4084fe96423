// Package diskspace tells how large file systems are.
package diskspace

import "io/fs"

// Free is how many bytes an ordinary user may still write to the file system of the
// folder.
func Free(dir string) (bytes int64, err error) {
	free, _, err := measured(dir)
	return free, err
}

// Size is how many bytes the file system of the folder has.
func Size(dir string) (bytes int64, err error) {
	_, size, err := measured(dir)
	return size, err
}

func measured(dir string) (free, size int64, err error) {
	free, size, err = measure(dir)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "asking for the free space of", Path: dir, Err: err}
	}
	return free, size, nil
}
