package program

import (
	"math"
	"os"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
)

// SpoolFlags are the settings of the worker's spool.
type SpoolFlags struct {
	SpoolDir     string `env:"SPOOL_DIR" placeholder:"DIR" help:"Folder for downloaded files awaiting import."`
	SpoolMinFree string `env:"SPOOL_MIN_FREE" default:"536870912" placeholder:"BYTES" help:"Bytes that downloads leave free on the spool's disk. Default: ${default}."`
}

// Validate reports invalid settings to s and returns the bytes that must stay free. It does
// not create the folder: if a mount is missing, that folder would be on another disk.
func (f *SpoolFlags) Validate(s *Settings) (minFree int64) {
	s.Required("SPOOL_DIR", f.SpoolDir, "a folder for downloaded files, on a disk with room for the largest of them")
	size := int64(math.MaxInt64)
	if f.SpoolDir != "" {
		if info, err := os.Stat(f.SpoolDir); err != nil || !info.IsDir() {
			s.Problem("SPOOL_DIR is %q, which is not a folder here: mount its disk, or create it for the user that runs the worker", f.SpoolDir)
		} else if _, all, err := diskspace.Of(f.SpoolDir); err == nil {
			size = all
		}
	}
	return int64(s.Int("SPOOL_MIN_FREE", f.SpoolMinFree, 1, int(size)))
}
