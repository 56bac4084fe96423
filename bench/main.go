// The benchmark measures scrapehaul side by side with the alternatives,
// on one machine and without an account: a real PostgreSQL with durable
// settings, a real Temporal server, and a fake Web Scraper Cloud.
//
// Contenders take turns in every round, and what counts is the median. A ratio
// above 1 means that scrapehaul is faster.
package main

import (
	"os"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

type commands struct {
	Run      runCommand      `cmd:"" default:"withargs" help:"Measure (the default)."`
	Activity activityCommand `cmd:"" hidden:""`
}

func main() {
	os.Exit(program.Main("bench", "scrapehaul side by side with the alternatives.", new(commands), os.Args[1:],
		program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
