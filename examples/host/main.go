// Host is a worker with a workflow that scrapes a sitemap, and one that starts for every
// published import: docs/embedding.md.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// ScrapePrices scrapes a sitemap and continues when its records are published.
func ScrapePrices(ctx workflow.Context, sitemapID int64) (string, error) {
	scraped, err := workflows.RunSitemap(ctx, workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{SitemapID: sitemapID, TimeLimit: "6h"}})
	return fmt.Sprintf("%d prices of %s", scraped.Records, scraped.SitemapName), err
}

// ComparePrices starts for every published import, however its scrape was started.
func ComparePrices(ctx workflow.Context, published sink.Publication) error {
	workflow.GetLogger(ctx).Info("new prices", "sitemap", published.SitemapName, "records", published.Records)
	return nil
}

func main() {
	temporal, err := client.Dial(envconfig.MustLoadDefaultClientOptions())
	check(err)
	db, err := postgres.Open(os.Getenv("DATABASE_URL"))
	check(err)
	_, err = postgres.Migrate(context.Background(), db) // creates schema scrapehaul
	check(err)
	cloud, err := webscraper.NewClient(os.Getenv("WEBSCRAPER_API_TOKEN"))
	check(err)
	plugin, err := scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: os.Getenv("SPOOL_DIR"),
		OnPublished: &activities.FollowUp{WorkflowType: "ComparePrices", TaskQueue: "prices"},
	})
	check(err)
	host := worker.New(temporal, "prices", worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	host.RegisterWorkflow(ScrapePrices)
	host.RegisterWorkflow(ComparePrices)
	check(host.Run(worker.InterruptCh()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
