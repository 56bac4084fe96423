package main

import (
	"errors"
	"os"
	"strconv"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
)

// checkSpool looks at the worker's folder where it is on this machine.
func (d *doctor) checkSpool() {
	dir := d.settings.SpoolDir
	if dir == "" {
		return
	}
	minFree, err := strconv.ParseInt(d.settings.SpoolMinFree, 10, 64)
	if err != nil || minFree < 1 {
		d.fix("SPOOL_MIN_FREE is %q: want a number of bytes", d.settings.SpoolMinFree)
		return
	}
	if err := tryToWrite(dir); err != nil {
		d.fix("the spool folder SPOOL_DIR: %v: make it, for the user that workers run as", err)
		return
	}
	free, err := diskspace.Free(dir)
	switch {
	case err != nil:
		d.fix("the spool folder SPOOL_DIR: %v", err)
	case free <= minFree:
		d.fix("the spool folder %s has %d bytes free, and %d have to stay free (SPOOL_MIN_FREE): make room, or downloads wait", dir, free, minFree)
	default:
		d.ok("the spool folder %s can be written to, %d bytes for downloads", dir, free-minFree)
	}
}

func tryToWrite(dir string) error {
	file, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
