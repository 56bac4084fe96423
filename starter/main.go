// The starter receives the notifications of Web Scraper Cloud, and starts
// imports by hand.
package main

import (
	"os"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

func main() {
	os.Exit(program.Main("starter", "Starts imports of scraping jobs: on the notifications of Web Scraper Cloud, or by hand. "+
		"Shows and steers them.\n\nExit status: 0 all is well, 1 it failed, 2 arguments or settings are wrong, "+
		"3 an import needs a person (status ID, list --needs-attention).",
		new(commands), os.Args[1:], program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
