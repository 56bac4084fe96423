package scrapehaul_test

import (
	"context"
	"log"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// ComparePrices represents the host's own workflows.
func ComparePrices(workflow.Context) error { return nil }

// A host's worker runs imports alongside its own workflows.
func ExamplePlugin() {
	if err := runHost(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func runHost(ctx context.Context) error {
	temporal, err := client.DialContext(ctx, envconfig.MustLoadDefaultClientOptions())
	if err != nil {
		return err
	}
	defer temporal.Close()
	db, err := postgres.Open(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := postgres.Migrate(ctx, db); err != nil { // creates schema scrapehaul
		return err
	}
	cloud, err := webscraper.NewClient(os.Getenv("WEBSCRAPER_API_TOKEN"))
	if err != nil {
		return err
	}
	plugin, err := scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: os.Getenv("SPOOL_DIR"),
	})
	if err != nil {
		return err
	}
	host := worker.New(temporal, "prices", worker.Options{
		Plugins:           []worker.Plugin{plugin},
		WorkerStopTimeout: 25 * time.Second, // lets an import finish its current batch
	})
	host.RegisterWorkflow(ComparePrices)
	return host.Run(worker.InterruptCh())
}
