package workflows

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// Client is the part of a Temporal client that reaches a workflow, whether it
// is running or has to be started.
type Client interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
}

// Notify tells the workflow of the notification's scraping job that the
// notification has come, starting it if it is not running. It needs no worker
// to be running.
func Notify(ctx context.Context, c Client, taskQueue string, notification Notification, settings Settings) (client.WorkflowRun, error) {
	summary := "import by hand"
	if notification.SitemapName != "" {
		summary = notification.SitemapName + " · " + notification.Status
	}
	return signalWithStart(ctx, c, taskQueue, NotificationSignal, notification, notification, summary, settings)
}

// Reimport has a scraping job downloaded and imported again, replacing its
// records, whether its workflow is running or has closed.
func Reimport(ctx context.Context, c Client, taskQueue string, scrapingJobID int64, settings Settings) (client.WorkflowRun, error) {
	return signalWithStart(ctx, c, taskQueue, ReimportSignal, nil, Notification{ScrapingJobID: scrapingJobID}, "re-import by hand", settings)
}

// signalWithStart starts the workflow, if it is not running, with what is known of
// the job.
func signalWithStart(
	ctx context.Context, c Client, taskQueue, signal string, payload any, job Notification, summary string, settings Settings,
) (client.WorkflowRun, error) {
	id := WorkflowID(job.ScrapingJobID)
	options := client.StartWorkflowOptions{
		ID:            id,
		TaskQueue:     taskQueue,
		StaticSummary: truncate(summary, maxSummary),
	}
	if settings.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(searchAttributes(job, StepImport)...)
	}
	run, err := c.SignalWithStartWorkflow(ctx, id, signal, payload, options,
		ImportScrapingJobName, ImportScrapingJobInput{ScrapingJobID: job.ScrapingJobID, Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("signalling %q to workflow %s: %w", signal, id, err)
	}
	return run, nil
}

// maxSummary keeps a summary below the server's limit of 400 bytes; a sitemap's
// name can be longer.
const maxSummary = 200

func truncate(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	cut := most - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
