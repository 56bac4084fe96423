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
	in := workflows.RunSitemapInput{Settings: &workflows.Settings{HoldBeforeDelete: "never"}} // keeps the job in the cloud
	in.SitemapID, in.TimeLimit, in.IfNotFinished = sitemapID, "6h", contract.Fail
	scraped, err := workflows.RunSitemap(ctx, in)
	return fmt.Sprintf("%d prices of %s", scraped.Records, scraped.SitemapName), err
}

// ComparePrices starts for every published import, however its scrape was started.
func ComparePrices(ctx workflow.Context, published sink.Publication) error {
	workflow.GetLogger(ctx).Info("new prices", "sitemap", published.SitemapName, "records", published.Records)
	return nil
}

func main() {
	temporal := must(client.Dial(envconfig.MustLoadDefaultClientOptions()))
	db := must(postgres.Open(os.Getenv("DATABASE_URL")))
	must(postgres.Migrate(context.Background(), db)) // creates schema scrapehaul
	cloud := must(webscraper.NewClient(os.Getenv("WEBSCRAPER_API_TOKEN"), webscraper.WithBaseURI(os.Getenv("WEBSCRAPER_API_BASE_URI"))))
	plugin := must(scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: os.Getenv("SPOOL_DIR"),
		OnPublished: &activities.FollowUp{WorkflowType: "ComparePrices", TaskQueue: "prices"},
	}))
	host := worker.New(temporal, "prices", worker.Options{Plugins: []worker.Plugin{plugin}, WorkerStopTimeout: 25 * time.Second})
	host.RegisterWorkflow(ScrapePrices)
	host.RegisterWorkflow(ComparePrices)
	if err := host.Run(worker.InterruptCh()); err != nil {
		log.Fatal(err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
