package workflows

import (
	"errors"
	"fmt"
	"strconv"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// a names the activities; it is never called.
var a *activities.Activities

func setup(ctx workflow.Context, in ImportScrapingJobInput) (*importScrapingJob, error) {
	workflowID := workflow.GetInfo(ctx).WorkflowExecution.ID
	id, err := strconv.ParseInt(workflowID, 10, 64)
	if err != nil || id <= 0 || WorkflowID(id) != workflowID || (in.ScrapingJobID != 0 && in.ScrapingJobID != id) {
		return nil, invalidInput(fmt.Errorf("workflow ID %q, scrapingjob_id %d: the workflow's ID has to be the scrapingjob_id in decimal", workflowID, in.ScrapingJobID))
	}
	parsed, problems := in.Settings.parse()
	if len(problems) > 0 {
		return nil, invalidInput(errors.Join(problems...))
	}
	w := &importScrapingJob{
		id:       id,
		settings: parsed,
		logger:   log.With(workflow.GetLogger(ctx), "scrapingjob_id", id),
		signals:  listen(ctx),
		asked:    asked{request: check},
		step:     StepDownload,
		removals: workflow.NewWaitGroup(ctx),
	}
	return w, workflow.SetQueryHandlerWithOptions(ctx, ProgressQuery, w.progress,
		workflow.QueryHandlerOptions{Description: "The step the import is at, and what it has published."})
}

func invalidInput(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), "InvalidInput", nil)
}
