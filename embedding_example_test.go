package scrapehaul_test

import (
	"context"
	"encoding/json"
	"log"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://

	"github.com/scrapehaul/scrapehaul"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// A host schedules the reconciliation, and imports a job manually.
func Example_reconciliation() {
	temporal, err := client.NewLazyClient(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := reconcileAndImport(context.Background(), temporal); err != nil {
		log.Fatal(err)
	}
}

func reconcileAndImport(ctx context.Context, temporal client.Client) error {
	settings := workflows.Settings{HoldBeforeDelete: "72h", Filter: activities.Filter{SitemapNamePrefix: "prices-"}}
	if err := workflows.ScheduleReconciliation(ctx, temporal, "default", "prices", 15*time.Minute, settings); err != nil {
		return err
	}
	if _, err := workflows.Notify(ctx, temporal, "prices", workflows.Notification{ScrapingJobID: 1234}, settings); err != nil {
		return err
	}
	again, err := workflows.Reimport(ctx, temporal, "prices", workflows.Notification{ScrapingJobID: 1234}, settings)
	if err != nil {
		return err
	}
	var result workflows.ImportScrapingJobResult
	if err := again.Get(ctx, &result); err != nil {
		return err
	}
	log.Printf("%d records: %s", result.Records, result.Outcome)
	return nil
}

// A host keeps the file of every published import.
func ExampleOptions_archive() {
	var (
		temporal client.Client
		cloud    *webscraper.Client
		db       *sqlx.DB
	)
	if _, err := pluginWithArchive(context.Background(), temporal, cloud, db); err != nil {
		log.Fatal(err)
	}
}

func pluginWithArchive(ctx context.Context, temporal client.Client, cloud *webscraper.Client, db *sqlx.DB) (worker.Plugin, error) {
	archive, err := blob.OpenBucket(ctx, "file:///var/archive?create_dir=true")
	if err != nil {
		return nil, err
	}
	return scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: "/var/spool/prices",
		Archive: archive, ArchiveRetention: 90 * 24 * time.Hour,
	})
}

// A host changes records, skips others, and maps them to a table of its own.
func ExampleOptions_recordHook() {
	var (
		temporal client.Client
		cloud    *webscraper.Client
		db       *sqlx.DB
	)
	if _, err := pluginWithHook(temporal, cloud, db); err != nil {
		log.Fatal(err)
	}
}

func pluginWithHook(temporal client.Client, cloud *webscraper.Client, db *sqlx.DB) (worker.Plugin, error) {
	mappings, err := mapping.ReadFile("/etc/prices/mappings.yaml")
	if err != nil {
		return nil, err
	}
	return scrapehaul.NewPlugin(scrapehaul.Options{
		Client: temporal, Cloud: cloud, DB: db, SpoolDir: "/var/spool/prices",
		RecordHook: withoutSoldOut, Mappings: mappings,
	})
}

func withoutSoldOut(_ context.Context, job sink.ScrapingJob, _ int64, record []byte) ([]byte, error) {
	var columns map[string]any
	if err := json.Unmarshal(record, &columns); err != nil {
		return nil, err
	}
	if columns["availability"] == "sold out" {
		return nil, activities.SkipRecord("sold out")
	}
	columns["shop"] = strings.TrimPrefix(job.SitemapName, "prices-")
	return json.Marshal(columns)
}
