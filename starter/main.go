// The starter receives notifications from Web Scraper Cloud and starts imports manually.
package main

import (
	"os"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

func main() {
	os.Exit(program.Main("starter", "Starts imports of Web Scraper Cloud scraping jobs, on notifications or manually. "+
		"Shows and controls them.\n\nExit status: 0 success, 1 failure, 2 invalid arguments or settings, "+
		"3 an import needs attention (status ID, list --needs-attention, run --wait) or has failed (status ID).",
		new(commands), os.Args[1:], program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
