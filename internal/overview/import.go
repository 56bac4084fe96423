// Package overview reads from Temporal what an operator sees of imports: their workflow
// runs, and what each is doing, how fast and until when.
package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// ErrNotFound reports that Temporal has no import of a scraping job: there was none, or it
// closed longer ago than the namespace's retention.
var ErrNotFound = errors.New("Temporal has no import of this scraping job")

// Reader reads imports from Temporal.
type Reader struct {
	Temporal client.Client
	// Account limits lists to one account; empty for all.
	Account string
	// GroupByAccount omits from lists the imports that [Reader.WaitingForToken] reports by
	// account.
	GroupByAccount bool
}

// Import is one workflow run of a scraping job as an operator sees it.
type Import struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account"`
	RunID         string `json:"run_id"`
	TaskQueue     string `json:"task_queue"`
	// Kind is that of the problem while the import needs attention.
	Kind string `json:"kind,omitempty"`
	// Summary is the workflow's static summary.
	Summary string `json:"summary,omitempty"`
	// Open is set until the run ends.
	Open bool `json:"open"`
	// Status is Temporal's execution status: "Running", "Completed", "Failed",
	// "Canceled", "Terminated" or "TimedOut".
	Status    string     `json:"status"`
	StartedAt time.Time  `json:"started_at"`
	ClosedAt  *time.Time `json:"closed_at,omitempty"`
	// Progress is the workflow's answer to the query "progress". ProgressKnown is
	// false when no worker answered in time.
	Progress      workflows.Progress `json:"progress,omitzero"`
	ProgressKnown bool               `json:"progress_known"`
	// Result is the result of a completed run.
	Result *workflows.ImportScrapingJobResult `json:"result,omitempty"`
	// Failure says why a run failed, or why an open run's progress is unknown.
	Failure string `json:"failure,omitempty"`
	// Activity is the pending activity that the import waits for; nil if there is none.
	Activity *Activity `json:"activity,omitempty"`
}

// NeedsAttention reports whether the import waits for an operator's signal.
func (i Import) NeedsAttention() bool {
	return i.Open && i.ProgressKnown && i.Progress.Step == workflows.StepNeedsAttention
}

// Sitemap returns the name of the job's sitemap, or else the workflow's summary in
// parentheses.
func (i Import) Sitemap() string {
	if i.Progress.SitemapName == "" && i.Summary != "" {
		return "(" + i.Summary + ")"
	}
	return i.Progress.SitemapName
}

// NamedAccount returns the import's account, "" for the default one.
func (i Import) NamedAccount() string { return NamedAccount(i.Account) }

// ReimportCommand returns the starter's command that imports the job again. A run whose job
// is not published needs the account.
func (i Import) ReimportCommand() string {
	command := fmt.Sprintf("starter reimport %d", i.ScrapingJobID)
	if account := i.NamedAccount(); account != "" {
		command += " --account " + account
	}
	return command
}

// NamedAccount returns the account, "" if it is the default one.
func NamedAccount(account string) string {
	if sink.IsNamed(account) {
		return account
	}
	return ""
}

// Step returns what the import is doing, or how it ended.
func (i Import) Step() string {
	switch {
	case !i.Open:
		return strings.ToLower(i.Status)
	case !i.ProgressKnown:
		return "unknown"
	case i.Progress.Step == workflows.StepScrape && i.Activity != nil && i.Activity.Heartbeat.Bytes+i.Activity.Heartbeat.OfBytes > 0:
		return string(workflows.StepDownload) // the job has ended: it is being downloaded
	case i.unpublishedStep() && !i.Importing():
		return "cleaning up" // it ends when the file is removed
	}
	return string(i.Progress.Step)
}

// Importing reports whether the import is yet to be published: its counts are those of an
// earlier one.
func (i Import) Importing() bool {
	if i.NeedsAttention() {
		return i.Progress.SkippedIfClosed
	}
	return i.Open && i.unpublishedStep() && (i.Activity == nil || i.Activity.Name != removeFile)
}

func (i Import) unpublishedStep() bool {
	return slices.Contains([]workflows.Step{workflows.StepScrape, workflows.StepDownload, workflows.StepImport}, i.Progress.Step)
}

// Published returns the counts of the published import, nil if there is none or it is not
// known.
func (i Import) Published() *sink.Counts {
	switch {
	case i.Result != nil && i.Result.SHA256 != "":
		return &i.Result.Counts
	case i.Result == nil && i.Progress.ImportID != 0:
		return &i.Progress.Counts
	}
	return nil
}

// Problem returns what failed after publishing, such as a follow-up.
func (i Import) Problem() string {
	if i.Result != nil {
		return i.Result.Problem
	}
	return i.Progress.Problem
}

// Timeouts of progress queries. A worker answers in milliseconds, or in tenths of a second
// if it must replay first. Without a worker there is no answer.
const (
	queryTimeout = 3 * time.Second
	// listQueryTimeout is for each import of a list, listTimeout for all of them.
	listQueryTimeout = time.Second
	listTimeout      = 2 * time.Second
)

// Import returns the latest run of the scraping job's workflow. The error matches
// ErrNotFound if there is none.
func (r *Reader) Import(ctx context.Context, scrapingJobID int64) (Import, error) {
	found, err := r.describe(ctx, scrapingJobID, "")
	if err != nil {
		return Import{}, err
	}
	r.queryProgress(ctx, &found, queryTimeout)
	return found, nil
}

// describe reads everything except the progress. An empty run ID means the latest run.
func (r *Reader) describe(ctx context.Context, scrapingJobID int64, runID string) (Import, error) {
	id := workflows.WorkflowID(scrapingJobID)
	described, err := r.Temporal.DescribeWorkflowExecution(ctx, id, runID)
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return Import{}, fmt.Errorf("scraping job %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Import{}, fmt.Errorf("describing workflow %s: %w", id, err)
	}
	info := described.GetWorkflowExecutionInfo()
	if name := info.GetType().GetName(); name != workflows.ImportScrapingJobName {
		return Import{}, fmt.Errorf("scraping job %s: %w, but a workflow %s of this ID", id, ErrNotFound, name)
	}
	found := newImport(scrapingJobID, info)
	found.Summary = text(described.GetExecutionConfig().GetUserMetadata().GetSummary())
	found.Activity = pendingActivity(described.GetPendingActivities())
	if !found.Open {
		err = r.readEnd(ctx, &found)
	}
	return found, err
}

func newImport(scrapingJobID int64, info *workflowpb.WorkflowExecutionInfo) Import {
	account, kind := workflows.Memo(info.GetMemo())
	i := Import{
		ScrapingJobID: scrapingJobID,
		Account:       account,
		Kind:          kind,
		RunID:         info.GetExecution().GetRunId(),
		TaskQueue:     info.GetTaskQueue(),
		Status:        info.GetStatus().String(),
		Open:          info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		StartedAt:     info.GetStartTime().AsTime(),
	}
	if closed := info.GetCloseTime(); closed != nil && !i.Open {
		at := closed.AsTime()
		i.ClosedAt = &at
	}
	return i
}

// readEnd reads how a closed run ended, from its last event.
func (r *Reader) readEnd(ctx context.Context, i *Import) error {
	id := workflows.WorkflowID(i.ScrapingJobID)
	last, err := r.Temporal.GetWorkflowHistory(ctx, id, i.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT).Next()
	if err != nil {
		return fmt.Errorf("reading how run %s of workflow %s ended: %w", i.RunID, id, err)
	}
	switch {
	case last.GetWorkflowExecutionCompletedEventAttributes() != nil:
		var result workflows.ImportScrapingJobResult
		payloads := last.GetWorkflowExecutionCompletedEventAttributes().GetResult()
		if err := converter.GetDefaultDataConverter().FromPayloads(payloads, &result); err != nil {
			return fmt.Errorf("reading the result of workflow %s: %w", id, err)
		}
		i.Result, i.Account = &result, cmp.Or(result.Account, i.Account)
	case last.GetWorkflowExecutionFailedEventAttributes() != nil:
		i.Failure = sentence(last.GetWorkflowExecutionFailedEventAttributes().GetFailure())
	case last.GetWorkflowExecutionTerminatedEventAttributes() != nil:
		i.Failure = "terminated"
		if reason := last.GetWorkflowExecutionTerminatedEventAttributes().GetReason(); reason != "" {
			i.Failure += ": " + reason
		}
	case last.GetWorkflowExecutionCanceledEventAttributes() != nil:
		i.Failure = "canceled"
	case last.GetWorkflowExecutionTimedOutEventAttributes() != nil:
		i.Failure = "the workflow timed out"
	}
	return nil
}

// queryProgress asks a worker. No answer is not an error: the rest is known.
func (r *Reader) queryProgress(ctx context.Context, i *Import, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer, err := r.Temporal.QueryWorkflow(ctx, workflows.WorkflowID(i.ScrapingJobID), i.RunID, workflows.ProgressQuery)
	if err == nil {
		err = answer.Get(&i.Progress)
	}
	i.ProgressKnown, i.Account = err == nil, cmp.Or(i.Progress.Account, i.Account)
	if err == nil || !i.Open {
		return // a closed run's failure is known
	}
	_, noWorker := errors.AsType[*serviceerror.FailedPrecondition](err)
	_, timedOut := errors.AsType[*serviceerror.DeadlineExceeded](err)
	if noWorker || timedOut || ctx.Err() != nil {
		i.Failure = "no worker answered: check that a worker runs on task queue " + i.TaskQueue
		return
	}
	i.Failure = "the progress query failed: " + err.Error()
}

// StoredRecords returns how many records the cloud says the job has; nil before the job was
// first described.
func (i Import) StoredRecords() *int64 {
	n := i.Progress.StoredRecordCount
	if n == 0 && i.Activity != nil { // the workflow learns it when the download ends
		n = i.Activity.Heartbeat.OfRecords
	}
	if n == 0 && (i.Progress.Step == workflows.StepDownload || !i.Progress.Described) {
		return nil
	}
	return &n
}

// InCloud reports whether the progress has the job's status in the cloud, not only the one
// that a notification reported.
func (i Import) InCloud() bool { return i.Progress.Described || i.StoredRecords() != nil }

// text reads a payload of the server's user metadata.
func text(payload *commonpb.Payload) (s string) {
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &s) != nil {
		return ""
	}
	return s
}
