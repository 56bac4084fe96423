//go:build unix

package diskspace

import "golang.org/x/sys/unix"

// free is what an ordinary user may still write to dir's file system.
func free(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil //nolint:unconvert // the types differ between systems
}
