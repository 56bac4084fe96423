package main

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// hostQueue is the task queue of another team's workflows.
const hostQueue = "prices"

// pipeline is a workflow of that team that runs a sitemap.
func pipeline(ctx workflow.Context) (string, error) {
	scraping := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{TaskQueue: workflows.DefaultTaskQueue})
	scraped, err := workflows.RunSitemap(scraping, workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{SitemapID: jobs[2].sitemapID}})
	return fmt.Sprintf("job %d of %s is %s, with %d records", scraped.ScrapingJobID, scraped.SitemapName, scraped.Outcome, scraped.Records), err
}

// followUp is a workflow of that team that starts for every publish: the worker's
// ON_PUBLISHED.
func (d *demo) followUp(ctx workflow.Context, published sink.Publication) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{ScheduleToCloseTimeout: importedWithin})
	return workflow.ExecuteLocalActivity(ctx, func(context.Context) error {
		d.servers.Progress(fmt.Sprintf("Follow-up workflow ran for import %d: %d records of %s, job %d",
			published.ImportID, published.Records, published.SitemapName, published.ScrapingJobID))
		return nil
	}).Get(ctx, nil)
}

// startHost starts that team's worker.
func (d *demo) startHost() error {
	temporal, err := client.Dial(client.Options{
		HostPort: d.Temporal.HostPort, Namespace: d.Temporal.Namespace,
		Logger: log.NewStructuredLogger(slog.New(slog.NewJSONHandler(d.servers.Log, nil))),
	})
	if err != nil {
		return fmt.Errorf("connecting the host's worker to Temporal: %w", err)
	}
	host := worker.New(temporal, hostQueue, worker.Options{})
	host.RegisterWorkflowWithOptions(pipeline, workflow.RegisterOptions{Name: "Pipeline"})
	host.RegisterWorkflowWithOptions(d.followUp, workflow.RegisterOptions{Name: "FollowUp"})
	if err := host.Start(); err != nil {
		temporal.Close()
		return fmt.Errorf("starting the host's worker: %w", err)
	}
	d.servers.OnStop(func() error {
		host.Stop()
		temporal.Close()
		return nil
	})
	return nil
}
