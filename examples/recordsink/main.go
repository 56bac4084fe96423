// Recordsink is a worker that keeps records in files of FILES_DIR instead of PostgreSQL.
// It needs DATABASE_URL, WEBSCRAPER_API_TOKEN, SPOOL_DIR and the TEMPORAL_* variables.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

func main() {
	temporal, err := client.Dial(envconfig.MustLoadDefaultClientOptions())
	check(err)
	db, err := postgres.Open(os.Getenv("DATABASE_URL")) // for the API's budget, spools and abandoned jobs
	check(err)
	_, err = postgres.Migrate(context.Background(), db)
	check(err)
	cloud, err := webscraper.NewClient(os.Getenv("WEBSCRAPER_API_TOKEN"), webscraper.WithBaseURI(os.Getenv("WEBSCRAPER_API_BASE_URI")))
	check(err)
	files, err := OpenFiles(os.Getenv("FILES_DIR"))
	check(err)
	plugin, err := scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: os.Getenv("SPOOL_DIR"), RecordSink: files,
	})
	check(err)
	w := worker.New(temporal, "scrapingjob-import", worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	check(w.Run(worker.InterruptCh()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
