package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// Client is the part of a Temporal client that reaches a workflow, whether it
// is running or has to be started.
type Client interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, workflowArgs ...any) (client.WorkflowRun, error)
	DescribeWorkflowExecution(ctx context.Context, workflowID, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
}

// ErrOtherWorkflow says that a workflow of another type runs under the ID that a
// scraping job's import has to have.
var ErrOtherWorkflow = errors.New("another workflow has the scraping job's number as its ID: " +
	"give imports a namespace of their own, or that workflow another ID")

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
	if err := checkID(ctx, c, id); err != nil {
		return nil, err
	}
	run, err := c.SignalWithStartWorkflow(ctx, id, signal, payload, options,
		ImportScrapingJobName, ImportScrapingJobInput{ScrapingJobID: job.ScrapingJobID, Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("signalling %q to workflow %s: %w", signal, id, err)
	}
	return run, nil
}

// checkID returns ErrOtherWorkflow when the ID is in use: the signal would go to
// whichever workflow runs under it, and nobody would import the job. What Temporal
// does not tell is left to the signal.
func checkID(ctx context.Context, c Client, id string) error {
	there, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return nil //nolint:nilerr // there is none, or the signal fails as well
	}
	info := there.GetWorkflowExecutionInfo()
	if name := info.GetType().GetName(); name != ImportScrapingJobName && info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return fmt.Errorf("workflow %s is a %s: %w", id, name, ErrOtherWorkflow)
	}
	return nil
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
