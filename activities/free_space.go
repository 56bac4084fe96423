package activities

import "fmt"

// FreeSpace is how many bytes an ordinary user may still write to the file
// system of the folder.
func FreeSpace(dir string) (bytes int64, err error) {
	bytes, err = freeBytes(dir)
	if err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return bytes, nil
}
