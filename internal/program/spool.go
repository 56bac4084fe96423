package program

import (
	"math"
	"os"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
)

// SpoolFlags are the settings of the worker's spool.
type SpoolFlags struct {
	SpoolDir     string `env:"SPOOL_DIR" placeholder:"DIR" help:"Folder for downloaded files until they are imported."`
	SpoolMinFree string `env:"SPOOL_MIN_FREE" default:"536870912" placeholder:"BYTES" help:"What downloads leave free of the spool's disk. Default: ${default}."`
}

// Validate notes in s what is wrong with the settings, and returns the bytes that have
// to stay free. It makes no folder: where a mount is missing, that would be one of
// another disk.
func (f *SpoolFlags) Validate(s *Settings) (minFree int64) {
	s.Required("SPOOL_DIR", f.SpoolDir, "a folder for downloaded files, on a disk with room for the largest of them")
	size := int64(math.MaxInt64)
	if f.SpoolDir != "" {
		if info, err := os.Stat(f.SpoolDir); err != nil || !info.IsDir() {
			s.Problem("SPOOL_DIR is %q, which is no folder here: mount its disk, or make it for the user that the worker runs as", f.SpoolDir)
		} else if _, all, err := diskspace.Of(f.SpoolDir); err == nil {
			size = all
		}
	}
	return int64(s.Int("SPOOL_MIN_FREE", f.SpoolMinFree, 1, int(size)))
}
