package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// maxName is the longest name that every Temporal store accepts, in bytes.
const maxName = 255

// CheckFollowUp returns an error if the workflow cannot be a follow-up; option names the
// setting in it. An import that starts an invalid one never gets past that, and RunSitemap
// scrapes the sitemap again and again.
func CheckFollowUp(option string, of activities.FollowUp) error {
	var problems []error
	for _, each := range []struct{ what, name string }{{"workflow type", of.WorkflowType}, {"task queue", of.TaskQueue}} {
		if each.name == "" || len(each.name) > maxName || !utf8.ValidString(each.name) || strings.HasPrefix(each.name, "/_sys/") {
			problems = append(problems, fmt.Errorf("%s has the %s %.300q: want 1 to %d bytes of UTF-8 that do not begin with /_sys/",
				option, each.what, each.name, maxName))
		}
	}
	if _, ours := registered()[of.WorkflowType]; ours {
		problems = append(problems, fmt.Errorf("%s has the workflow type %q, which belongs to scrapehaul: want one of yours", option, of.WorkflowType))
	}
	return errors.Join(problems...)
}

// announce starts the follow-up and the webhook delivery of a published import, even after
// a cancellation. If the start fails, that is recorded as the import's problem. If this run
// closes first, the import stays unannounced, and reconciliation finds it.
func (w *importScrapingJob) announce(ctx workflow.Context, what *activities.Announcement) {
	if what == nil {
		return
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx) // canceling ctx must not cancel the follow-up
	announced := activities.SetAnnouncedInput{Publication: what.Publication, Webhook: what.Webhook}
	if what.FollowUp != nil {
		if err := startFollowUp(ctx, *what.FollowUp, what.Publication); err != nil {
			announced.Problem = fmt.Sprintf("the follow-up workflow %s on task queue %s was not started: %s",
				what.FollowUp.WorkflowType, what.FollowUp.TaskQueue, strings.TrimRight(err.Error(), "."))
			w.logger.Warn("Starting the follow-up workflow failed", "problem", announced.Problem)
		}
	}
	// Retries for a week: reconciliation does not see the job once it is deleted in the cloud.
	noting := workflow.WithRetryPolicy(shortStep(ctx, "record that the import is announced"), *attempts(10_000))
	if err := workflow.ExecuteActivity(noting, a.SetAnnounced, announced).Get(ctx, nil); err != nil {
		announced.Problem = cmp.Or(announced.Problem, "recording that the import is announced failed, so the webhook may not get it: "+Sentence(err))
	}
	if announced.Problem != "" {
		w.published.Problem = strings.TrimPrefix(w.published.Problem+"; "+announced.Problem, "; ")
	}
}

// startFollowUp starts the workflow exactly once: its ID is derived from the import's.
// Temporal retries until the start succeeds or fails with a non-retryable error.
func startFollowUp(ctx workflow.Context, what activities.FollowUp, input sink.Publication) error {
	starting := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            input.ID(),
		TaskQueue:             what.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         truncate(input.SitemapName+" · "+records(input.Records), maxSummary),
	})
	err := workflow.ExecuteChildWorkflow(starting, what.WorkflowType, input).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}
