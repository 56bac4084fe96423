package scrapehaul_test

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// ComparePricesElsewhere runs in another namespace than the imports: it scrapes a sitemap
// and continues when its records are published.
func ComparePricesElsewhere(ctx workflow.Context, sitemapID int64) (string, error) {
	scrapehaul := workflow.NewNexusClient("scrapehaul", contract.ServiceName)
	scraping := scrapehaul.ExecuteOperation(ctx, contract.RunSitemap,
		contract.RunSitemapInput{SitemapID: sitemapID, TimeLimit: "6h"}, workflow.NexusOperationOptions{})
	var scraped contract.RunSitemapResult
	if err := scraping.Get(ctx, &scraped); err != nil {
		if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok && failure.Type() == contract.ErrorTimeLimit {
			return "no prices today: " + failure.Message(), nil
		}
		return "", err
	}
	asking := scrapehaul.ExecuteOperation(ctx, contract.Status, contract.StatusInput{ScrapingJobID: scraped.ScrapingJobID},
		workflow.NexusOperationOptions{ScheduleToCloseTimeout: time.Minute}) // without it, retried until a worker answers
	var status contract.ImportStatus
	if err := asking.Get(ctx, &status); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d prices, the import is %s", scraped.Records, status.Step), nil
}
