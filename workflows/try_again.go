package workflows

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"
)

const tryAgainName = "TryAgain"

// tryAgainResult counts the imports that were asked to try again.
type tryAgainResult struct {
	Imports int `json:"imports"`
}

// tryAgain has the imports that need attention try again, where that can help: also
// those that are published and wait only for their deletion, which are not due. The
// account's list has been read before, so the token is right.
func (r *reconciliation) tryAgain(ctx workflow.Context) error {
	if workflow.GetVersion(ctx, "try-again", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	var result tryAgainResult
	err := workflow.ExecuteActivity(longStep(ctx, "have what needs attention try again"), tryAgainName).Get(ctx, &result)
	r.result.TriedAgain = result.Imports
	return err
}

// tryAgain is an activity. Each import decides by itself whether trying again can
// help.
func tryAgain(ctx context.Context) (result tryAgainResult, err error) {
	var failures []error
	c := activity.GetClient(ctx)
	err = eachOpenImport(ctx, c, activity.GetInfo(ctx).TaskQueue, func(run *commonpb.WorkflowExecution, problem string) {
		if !retryable(problem) {
			return
		}
		activity.RecordHeartbeat(ctx)
		err := c.SignalWorkflow(ctx, run.GetWorkflowId(), run.GetRunId(), reconciliationSignal, nil)
		_, ended := errors.AsType[*serviceerror.NotFound](err)
		switch {
		case err == nil:
			result.Imports++
		case isRefusal(err):
			activity.GetLogger(ctx).Warn("An import was not asked to try again", "workflow_id", run.GetWorkflowId(), "error", err)
		case !ended:
			failures = append(failures, fmt.Errorf("signalling %q to workflow %s: %w", reconciliationSignal, run.GetWorkflowId(), err))
		}
	})
	return result, errors.Join(append(failures, err)...)
}
