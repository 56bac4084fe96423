package workflows

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/sink"
)

// ErrOtherWorkflow says that a workflow of another type runs under the ID that a
// scraping job's import has to have.
var ErrOtherWorkflow = errors.New("another workflow has the scraping job's number as its ID: " +
	"give imports a namespace of their own, or that workflow another ID")

// Notify tells the workflow of the notification's scraping job that the
// notification has come, starting it if it is not running. It needs no worker
// to be running.
func Notify(ctx context.Context, c client.Client, taskQueue string, notification Notification, settings Settings) (client.WorkflowRun, error) {
	summary := "import by hand"
	if notification.SitemapName != "" {
		summary = notification.SitemapName + " · " + notification.Status
	}
	return signalWithStart(ctx, c, taskQueue, NotificationSignal, notification, notification, summary, settings)
}

// Reimport has a scraping job downloaded and imported again, replacing its
// records, whether its workflow is running or has closed. Of the job its ID counts, and its
// account: empty, it is that of the job's published import, or else the default one.
func Reimport(ctx context.Context, c client.Client, taskQueue string, job Notification, settings Settings) (client.WorkflowRun, error) {
	var payload any // which a running import compares
	if job.Account != "" {
		payload = job
	}
	return signalWithStart(ctx, c, taskQueue, ReimportSignal, payload, job, "re-import by hand", settings)
}

// StartRunSitemap starts the workflow RunSitemap. Called again with the same custom ID, it
// returns the existing workflow and isNew is false, unless that workflow failed or was
// canceled.
func StartRunSitemap(ctx context.Context, c client.Client, taskQueue string, in RunSitemapInput) (run client.WorkflowRun, isNew bool, err error) {
	name := strings.ReplaceAll(cmp.Or(in.CustomID, thisRun), thisRun, strings.ToLower(rand.Text()[:8]))
	if len(name) > maxSummary { // Temporal takes no longer IDs
		name = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	id := "run-sitemap-" + sink.QualifiedSitemap(in.Account, fmt.Sprintf("%d-%s", in.SitemapID, name))
	run, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, StaticSummary: runSummary(in), Priority: turns(in.Account),
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, RunSitemapName, in)
	if there, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return c.GetWorkflow(ctx, id, there.RunId), false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("starting workflow %s: %w", id, err)
	}
	return run, true, nil
}

// signalWithStart starts the workflow, if it is not running, with what is known of
// the job.
func signalWithStart(
	ctx context.Context, c client.Client, taskQueue, signal string, payload any, job Notification, summary string, settings Settings,
) (client.WorkflowRun, error) {
	id := WorkflowID(job.ScrapingJobID)
	options := client.StartWorkflowOptions{
		ID:            id,
		TaskQueue:     taskQueue,
		StaticSummary: truncate(summary, maxSummary),
		Priority:      turns(job.Account),
	}
	options.TypedSearchAttributes, options.Memo = settings.listedAs(job, StepImport)
	begun := time.Now()
	run, err := c.SignalWithStartWorkflow(ctx, id, signal, payload, options,
		ImportScrapingJobName, ImportScrapingJobInput{ScrapingJobID: job.ScrapingJobID, Account: job.Account, Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("signalling %q to workflow %s: %w", signal, id, err)
	}
	if !startedSince(begun, run.GetRunID()) {
		there, err := c.DescribeWorkflowExecution(ctx, id, run.GetRunID())
		// What Temporal does not tell is no reason to send the signal again.
		if name := there.GetWorkflowExecutionInfo().GetType().GetName(); err == nil && name != ImportScrapingJobName {
			return nil, fmt.Errorf("workflow %s is a %s: %w", id, name, ErrOtherWorkflow)
		}
	}
	return run, nil
}

// clocksDiffer is by how much the clocks of Temporal and this machine may.
const clocksDiffer = 2 * time.Second

// startedSince reports whether a run was started by a signal that was sent then: a
// run's ID begins with its time, in milliseconds (UUID version 7). It spares most
// notifications a call.
func startedSince(sent time.Time, runID string) bool {
	if len(runID) != 36 || runID[14] != '7' {
		return false
	}
	milliseconds, err := strconv.ParseInt(runID[:8]+runID[9:13], 16, 64)
	return err == nil && time.UnixMilli(milliseconds).After(sent.Add(-clocksDiffer))
}

// maxSummary keeps a summary below the server's limit of 400 bytes; a sitemap's
// name can be longer.
const maxSummary = 200

func truncate(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}
