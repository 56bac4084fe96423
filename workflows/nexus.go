package workflows

import (
	"context"
	"errors"
	"fmt"

	"github.com/nexus-rpc/sdk-go/nexus"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/temporalnexus"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// NexusService returns the service of package contract, for the worker of the workflows.
func NexusService() *nexus.Service {
	service := nexus.NewService(contract.ServiceName)
	service.MustRegister(
		temporalnexus.MustNewWorkflowRunOperationWithOptions(temporalnexus.WorkflowRunOperationOptions[contract.RunSitemapInput, contract.RunSitemapResult]{
			Name: contract.RunSitemap.Name(), Handler: startRunSitemap,
		}),
		nexus.NewSyncOperation(contract.Reimport.Name(), reimportOperation),
		nexus.NewSyncOperation(contract.Status.Name(), statusOperation),
	)
	return service
}

// startRunSitemap starts one workflow per operation: retries of the start share the request
// ID.
func startRunSitemap(ctx context.Context, in contract.RunSitemapInput, options nexus.StartOperationOptions) (temporalnexus.WorkflowHandle[contract.RunSitemapResult], error) {
	input := RunSitemapInput{RunSitemapInput: in}
	return temporalnexus.ExecuteUntypedWorkflow[contract.RunSitemapResult](ctx, options, client.StartWorkflowOptions{
		ID:                    "run-sitemap-" + options.RequestID,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary:         runSummary(input),
		Priority:              activities.Turns(in.Account),
	}, RunSitemapName, input)
}

func reimportOperation(ctx context.Context, in contract.ReimportInput, _ nexus.StartOperationOptions) (contract.ReimportResult, error) {
	c, on := temporalnexus.GetClient(ctx), temporalnexus.GetOperationInfo(ctx)
	settings, err := readSettings(ctx, c, on.Namespace)
	if err != nil {
		return contract.ReimportResult{}, err
	}
	run, err := Reimport(ctx, c, on.TaskQueue, Notification{ScrapingJobID: in.ScrapingJobID, Account: in.Account}, settings)
	if errors.Is(err, ErrOtherWorkflow) {
		return contract.ReimportResult{}, temporal.NewNonRetryableApplicationError(err.Error(), "OtherWorkflow", nil)
	}
	if err != nil {
		return contract.ReimportResult{}, err
	}
	return contract.ReimportResult{WorkflowID: run.GetID()}, nil
}

// statusOperation queries only running imports: querying a closed one would make a worker
// replay its entire history.
func statusOperation(ctx context.Context, in contract.StatusInput, _ nexus.StartOperationOptions) (contract.ImportStatus, error) {
	status := contract.ImportStatus{ScrapingJobID: in.ScrapingJobID, Step: contract.StepUnknown}
	if err := checkJobID(in.ScrapingJobID); err != nil {
		return status, err
	}
	c, id := temporalnexus.GetClient(ctx), WorkflowID(in.ScrapingJobID)
	there, err := c.DescribeWorkflowExecution(ctx, id, "")
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return status, nil
	}
	if err != nil {
		return status, fmt.Errorf("describing workflow %s: %w", id, err)
	}
	info := there.GetWorkflowExecutionInfo()
	if info.GetType().GetName() != ImportScrapingJobName {
		return status, nil
	}
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		answer, err := c.QueryWorkflow(ctx, id, "", ProgressQuery)
		if err != nil {
			return status, fmt.Errorf("querying the progress of workflow %s: %w", id, err)
		}
		return status, answer.Get(&status) // the fields match a Progress
	}
	err = c.GetWorkflow(ctx, id, info.GetExecution().GetRunId()).Get(ctx, &status) // they match a result, too
	if ended, ok := errors.AsType[*temporal.WorkflowExecutionError](err); ok {
		status.Outcome, status.Reason = outcomeFailed, Sentence(ended.Unwrap())
	} else if err != nil {
		return status, fmt.Errorf("reading the result of workflow %s: %w", id, err)
	}
	status.Step = contract.StepClosed
	return status, nil
}

// checkJobID returns an application error: its message reaches the caller, unlike that of
// a plain handler error.
func checkJobID(id int64) error {
	if id < 1 {
		return invalidInput(fmt.Errorf("scrapingjob_id is %d: want at least 1", id))
	}
	return nil
}
