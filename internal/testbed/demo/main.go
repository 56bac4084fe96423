// The demo runs all of scrapehaul on one machine, without an account: a real Temporal server
// with its web UI, a real PostgreSQL, a fake Web Scraper Cloud, the worker and the starter.
package main

import (
	"os"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

type commands struct {
	Run   runCommand   `cmd:"" default:"withargs" help:"Run everything until Ctrl-C (the default)."`
	Cloud cloudCommand `cmd:"" help:"Run only the fake Web Scraper Cloud until Ctrl-C, for any client."`
}

func main() {
	os.Exit(program.Main("demo", "All of scrapehaul on one machine.", new(commands), os.Args[1:],
		program.Streams{Out: os.Stdout, Err: os.Stderr}))
}
