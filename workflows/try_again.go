package workflows

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
)

const (
	tryAgainName      = "TryAgain"
	countTryAgainName = "CountTryAgain"
)

type tryAgainResult struct {
	Imports int `json:"imports"`
	// Refused has the reasons of those that were not signaled.
	Refused []string `json:"refused,omitempty"`
}

// tryAgainInput names an account, or all accounts if it is empty.
type tryAgainInput struct {
	Account string `json:"account,omitempty"`
}

// tryAgain asks imports that need attention to retry if that can help, including published
// ones that failed only to delete the job and thus are not due. The account's list was read
// just before, so its token is valid. A dry run counts them.
func (r *reconciliation) tryAgain(ctx workflow.Context) error {
	change, name, summary := "try-again", tryAgainName, "retry imports that need attention"
	if r.in.DryRun {
		change, name, summary = "count-try-again", countTryAgainName, "count imports that would be retried"
	}
	if workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	var result tryAgainResult
	err := workflow.ExecuteActivity(longStep(ctx, summary), name, tryAgainInput{r.in.Account}).Get(ctx, &result)
	r.result.TriedAgain = result.Imports
	r.refused(ctx, result.Refused)
	return err
}

// tryAgain is an activity. Each import decides itself whether a retry can help.
func tryAgain(ctx context.Context, in tryAgainInput) (tryAgainResult, error) {
	return tryEachAgain(ctx, activity.GetClient(ctx), in)
}

// tryEachAgain fails only if it is interrupted: the jobs are checked already.
func tryEachAgain(ctx context.Context, c client.Client, in tryAgainInput) (tryAgainResult, error) {
	progress := resumeSignaling(ctx)
	jobs, err := listRetryable(ctx, c, in, progress)
	failures := []error{err}
	if err == nil {
		failures, err = progress.each(ctx, jobs, func(ctx context.Context, job int64) (bool, error) {
			id := WorkflowID(job)
			err := c.SignalWorkflow(ctx, id, "", reconciliationSignal, nil)
			if _, ended := errors.AsType[*serviceerror.NotFound](err); err == nil || ended {
				return err == nil, nil
			}
			err = fmt.Errorf("signaling %q to workflow %s: %w", reconciliationSignal, id, err)
			if isRefusal(err) {
				progress.Refused = append(progress.Refused, err.Error())
				return false, nil
			}
			return false, err
		})
		if err != nil {
			return tryAgainResult{}, err
		}
	}
	refused, err := progress.refusals(ctx, failures)
	return tryAgainResult{progress.Sent, refused}, err
}

// countTryAgain is an activity of its own: workers of earlier builds would retry the imports.
func countTryAgain(ctx context.Context, in tryAgainInput) (tryAgainResult, error) {
	return countEachTryAgain(ctx, activity.GetClient(ctx), in)
}

func countEachTryAgain(ctx context.Context, c client.Client, in tryAgainInput) (tryAgainResult, error) {
	jobs, err := listRetryable(ctx, c, in, nil)
	return tryAgainResult{Imports: len(jobs)}, err
}

// listRetryable lists the imports that need attention and that a retry can help.
func listRetryable(ctx context.Context, c client.Client, in tryAgainInput, progress *signaling) (jobs []int64, err error) {
	err = eachOpenImport(ctx, c, func(run *workflowpb.WorkflowExecutionInfo, account, problem string) {
		activity.RecordHeartbeat(ctx, progress)
		read := in.Account == "" || account == "" || in.Account == account
		if job, err := strconv.ParseInt(run.GetExecution().GetWorkflowId(), 10, 64); err == nil && read && Retryable(problem) {
			jobs = append(jobs, job)
		}
	})
	return jobs, err
}
