// The worker runs imports: the workflow and its activities.
package main

import (
	"os"
	_ "time/tzdata" // for mappings, on machines that have none

	"github.com/scrapehaul/scrapehaul/internal/program"
)

func main() {
	os.Exit(program.Main("worker", "Imports the scraping jobs of Web Scraper Cloud into PostgreSQL, as a Temporal worker.",
		new(commands), os.Args[1:], program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
