package main

import (
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/internal/program"
)

// checkSpool looks at the worker's folder where it is on this machine.
func (d *doctor) checkSpool() {
	dir := d.settings.SpoolDir
	if dir == "" {
		return
	}
	var s program.Settings
	minFree := d.settings.SpoolFlags.Validate(&s)
	if !d.settingsAreRight(&s) {
		return
	}
	if err := activities.TrySpool(dir); err != nil {
		d.fix("the spool folder SPOOL_DIR: %v: let it belong to the user that workers run as, or choose one on another file system", err)
		return
	}
	free, _, err := diskspace.Of(dir)
	switch {
	case err != nil:
		d.fix("the spool folder SPOOL_DIR: %v", err)
	case free <= minFree:
		d.fix("the spool folder %s has %d bytes free, and %d have to stay free (SPOOL_MIN_FREE): make room, or downloads wait", dir, free, minFree)
	default:
		d.ok("the spool folder %s can be written to, %d bytes for downloads", dir, free-minFree)
	}
}
