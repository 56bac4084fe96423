// Package overview reads from Temporal what an operator sees of imports: the
// runs of their workflows, what each is doing, how fast, and until when.
package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// ErrNotFound says that Temporal knows no import of a scraping job: there was
// none, or it closed longer ago than the namespace keeps histories.
var ErrNotFound = errors.New("Temporal knows no import of this scraping job")

// Reader reads imports from Temporal.
type Reader struct {
	Temporal client.Client
	// TaskQueue narrows [Reader.Open] to the imports of one task queue; empty
	// for all.
	TaskQueue string
	// Account narrows what is listed to the imports of one account; empty for all.
	Account string
	// Together leaves out of lists what [Reader.WaitingForToken] says of an account at once.
	Together bool
}

// Import is one workflow run of a scraping job as an operator sees it.
type Import struct {
	ScrapingJobID int64  `json:"scrapingjob_id"`
	Account       string `json:"account"`
	RunID         string `json:"run_id"`
	// Summary is the workflow's static summary.
	Summary string `json:"summary,omitempty"`
	// Open is set while the run has not ended.
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
	// Result is that of a completed run.
	Result *workflows.ImportScrapingJobResult `json:"result,omitempty"`
	// Failure says why a run failed, or of an open one why its progress is not
	// known.
	Failure string `json:"failure,omitempty"`
	// Activity is the pending activity that matters; nil if there is none.
	Activity *Activity `json:"activity,omitempty"`
}

// NeedsAttention says whether the import waits for a person's signal.
func (i Import) NeedsAttention() bool {
	return i.Open && i.ProgressKnown && i.Progress.Step == workflows.StepNeedsAttention
}

// Sitemap is the name of the job's sitemap, or else what the workflow was started with.
func (i Import) Sitemap() string { return cmp.Or(i.Progress.SitemapName, i.Summary) }

// NamedAccount is the import's account, "" for the default one.
func (i Import) NamedAccount() string { return NamedAccount(i.Account) }

// NamedAccount is the account, "" if it is the default one.
func NamedAccount(account string) string {
	if account == sink.DefaultAccount {
		return ""
	}
	return account
}

// Step is what the import is doing, or how it ended.
func (i Import) Step() string {
	switch {
	case !i.Open:
		return strings.ToLower(i.Status)
	case !i.ProgressKnown:
		return "unknown"
	case i.Progress.Step == workflows.StepScrape && i.Activity != nil && i.Activity.Heartbeat.Bytes+i.Activity.Heartbeat.OfBytes > 0:
		return string(workflows.StepDownload) // the job has ended: it is being downloaded
	}
	return string(i.Progress.Step)
}

// Problem says what failed apart from publishing, such as a follow-up.
func (i Import) Problem() string {
	if i.Result != nil {
		return i.Result.Problem
	}
	return i.Progress.Problem
}

// Limits of the query for an import's progress. A worker answers in some
// milliseconds, or in some tenths of a second when it has to replay first; one
// that is not there does not answer at all.
const (
	oneAnswerWithin = 3 * time.Second
	// eachAnswerWithin is for one of many, allAnswersWithin for all of them.
	eachAnswerWithin = time.Second
	allAnswersWithin = 2 * time.Second
)

// Import returns the latest run of the scraping job's workflow. The error
// matches ErrNotFound when there is none.
func (r *Reader) Import(ctx context.Context, scrapingJobID int64) (Import, error) {
	found, err := r.describe(ctx, scrapingJobID, "")
	if err != nil {
		return Import{}, err
	}
	r.askProgress(ctx, &found, oneAnswerWithin)
	return found, nil
}

// describe reads all but the progress. An empty run ID is the latest run.
func (r *Reader) describe(ctx context.Context, scrapingJobID int64, runID string) (Import, error) {
	id := workflows.WorkflowID(scrapingJobID)
	described, err := r.Temporal.DescribeWorkflowExecution(ctx, id, runID)
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return Import{}, fmt.Errorf("scraping job %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Import{}, fmt.Errorf("asking Temporal for workflow %s: %w", id, err)
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
	account, _ := workflows.Memo(info.GetMemo())
	i := Import{
		ScrapingJobID: scrapingJobID,
		Account:       account,
		RunID:         info.GetExecution().GetRunId(),
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

// readEnd reads from its last event how a closed run ended.
func (r *Reader) readEnd(ctx context.Context, i *Import) error {
	id := workflows.WorkflowID(i.ScrapingJobID)
	last, err := r.Temporal.GetWorkflowHistory(ctx, id, i.RunID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT).Next()
	if err != nil {
		return fmt.Errorf("asking Temporal how run %s of workflow %s ended: %w", i.RunID, id, err)
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
		i.Failure = "cancelled"
	case last.GetWorkflowExecutionTimedOutEventAttributes() != nil:
		i.Failure = "the workflow took too long"
	}
	return nil
}

// askProgress asks a worker. That none answers is no error: the rest is known.
func (r *Reader) askProgress(ctx context.Context, i *Import, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer, err := r.Temporal.QueryWorkflow(ctx, workflows.WorkflowID(i.ScrapingJobID), i.RunID, workflows.ProgressQuery)
	if err == nil {
		err = answer.Get(&i.Progress)
	}
	i.ProgressKnown, i.Account = err == nil, cmp.Or(i.Progress.Account, i.Account)
	if err == nil || !i.Open {
		return // of a closed run, how it ended matters
	}
	_, noWorker := errors.AsType[*serviceerror.FailedPrecondition](err)
	_, timedOut := errors.AsType[*serviceerror.DeadlineExceeded](err)
	if noWorker || timedOut || ctx.Err() != nil {
		i.Failure = "no worker answered the query for the progress: see that a worker runs on the import's task queue"
		return
	}
	i.Failure = "the query for the progress failed: " + err.Error()
}

// StoredRecords is how many records the job has by its own account; nil while
// nobody has looked at the job in the cloud.
func (i Import) StoredRecords() *int64 {
	n := i.Progress.StoredRecordCount
	if n == 0 && i.Activity != nil { // the workflow learns it at the download's end
		n = i.Activity.Heartbeat.OfRecords
	}
	if n == 0 && (i.Progress.Step == workflows.StepDownload || i.Progress.Status == "") {
		return nil
	}
	return &n
}

// text reads a payload of the server's user metadata.
func text(payload *commonpb.Payload) (s string) {
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &s) != nil {
		return ""
	}
	return s
}
