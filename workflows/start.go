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

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// ErrOtherWorkflow is returned when a workflow of another type is running under the
// workflow ID of a scraping job's import.
var ErrOtherWorkflow = errors.New("another workflow uses the scraping job's ID as its workflow ID: " +
	"give imports their own namespace, or that workflow a different ID")

// Notify signals a notification to the import of its scraping job, starting it if needed.
// No worker needs to be running. It returns an error if the job's ID is not positive, and
// [ErrOtherWorkflow] if the import cannot run.
func Notify(ctx context.Context, c client.Client, taskQueue string, notification Notification, settings Settings) (client.WorkflowRun, error) {
	summary := "manual import"
	if notification.SitemapName != "" {
		summary = notification.SitemapName + " · " + notification.Status
	}
	return signalWithStart(ctx, c, taskQueue, NotificationSignal, notification, notification, summary, settings)
}

// Reimport downloads and imports a scraping job again, replacing its records, whether its
// workflow is running or closed. Only the job's ID and account matter; an empty account means
// that of the published import, or else the default account. It returns the same errors as
// [Notify].
func Reimport(ctx context.Context, c client.Client, taskQueue string, job Notification, settings Settings) (client.WorkflowRun, error) {
	var payload any // a running import checks the account
	if job.Account != "" {
		payload = job
	}
	return signalWithStart(ctx, c, taskQueue, ReimportSignal, payload, job, "manual re-import", settings)
}

// StartRunSitemap starts the workflow RunSitemap. Called again with the same custom ID, it
// returns the existing workflow with isNew false, unless that one failed or was canceled.
func StartRunSitemap(ctx context.Context, c client.Client, taskQueue string, in RunSitemapInput) (run client.WorkflowRun, isNew bool, err error) {
	name := strings.ReplaceAll(cmp.Or(in.CustomID, thisRun), thisRun, strings.ToLower(rand.Text()[:8]))
	if len(name) > maxRunName {
		name = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	id := "run-sitemap-" + sink.QualifiedSitemap(in.Account, fmt.Sprintf("%d-%s", in.SitemapID, name))
	run, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, StaticSummary: runSummary(in), Priority: activities.Turns(in.Account),
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

// signalWithStart signals the job's import, starting it if needed.
func signalWithStart(
	ctx context.Context, c client.Client, taskQueue, signal string, payload any, job Notification, summary string, settings Settings,
) (client.WorkflowRun, error) {
	if err := checkJobID(job.ScrapingJobID); err != nil {
		return nil, err
	}
	id := WorkflowID(job.ScrapingJobID)
	options := client.StartWorkflowOptions{
		ID:            id,
		TaskQueue:     taskQueue,
		StaticSummary: truncate(summary, maxSummary),
		Priority:      activities.Turns(job.Account),
	}
	options.TypedSearchAttributes, options.Memo = settings.listedAs(job, StepImport)
	sent := time.Now()
	run, err := c.SignalWithStartWorkflow(ctx, id, signal, payload, options,
		ImportScrapingJobName, ImportScrapingJobInput{ScrapingJobID: job.ScrapingJobID, Account: job.Account, Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("signaling %q to workflow %s: %w", signal, id, err)
	}
	if !startedSince(sent, run.GetRunID()) {
		there, err := c.DescribeWorkflowExecution(ctx, id, run.GetRunID())
		// An error here is no reason to send the signal again.
		if name := there.GetWorkflowExecutionInfo().GetType().GetName(); err == nil && name != ImportScrapingJobName {
			return nil, fmt.Errorf("workflow %s is a %s: %w", id, name, ErrOtherWorkflow)
		}
	}
	return run, nil
}

// clockSkew is the tolerated difference between the clocks of Temporal and this machine.
const clockSkew = 2 * time.Second

// startedSince reports whether a run was started by a signal sent then: a run ID starts
// with its time in milliseconds (UUID version 7). This saves most notifications a call.
func startedSince(sent time.Time, runID string) bool {
	if len(runID) != 36 || runID[14] != '7' {
		return false
	}
	milliseconds, err := strconv.ParseInt(runID[:8]+runID[9:13], 16, 64)
	return err == nil && time.UnixMilli(milliseconds).After(sent.Add(-clockSkew))
}

// maxRunName leaves room in a workflow ID, of maxName bytes, for the longest account and the
// largest ID of a sitemap.
const maxRunName = 180

// maxSummary is in bytes, below the server's limit of 400; a sitemap's name can be longer.
const maxSummary = 200

func truncate(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}
