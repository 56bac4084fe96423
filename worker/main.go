// The worker runs the import workflows and their activities.
package main

import (
	"os"
	_ "time/tzdata" // for mappings, on machines without it

	"github.com/scrapehaul/scrapehaul/internal/program"
)

func main() {
	os.Exit(program.Main("worker", "Imports Web Scraper Cloud scraping jobs into PostgreSQL, as a Temporal worker.",
		new(commands), os.Args[1:], program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
