package workflows

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Fields of the workflow's memo: the kind of the problem while the import needs attention,
// and the account, unless it is the default one. Temporal stores and lists them even without
// workers; unlike search attributes, they need no registration.
const (
	attentionMemo = "needs_attention"
	accountMemo   = "account"
)

// noteAttention records the kind of the problem in the memo, or removes it if problem is
// nil.
func (w *importScrapingJob) noteAttention(ctx workflow.Context, problem error) {
	var kind any // nil removes the field
	if problem != nil {
		kind = problemKind(problem)
	}
	memo := map[string]any{attentionMemo: kind}
	if sink.IsNamed(w.account) {
		memo[accountMemo] = w.account
	}
	if err := workflow.UpsertMemo(ctx, memo); err != nil {
		w.logger.Warn("Updating the list of imports that need attention failed", "error", err)
	}
}

// OpenCount counts open imports.
type OpenCount struct {
	All int
	// NeedAttention counts those that need attention, for each of ProblemKinds.
	NeedAttention map[string]int
}

// CountOpenImports counts the running imports of a task queue by account; the result always
// has the default account. It reads Temporal's list of workflows, which is a few seconds
// behind, 1000 per call.
// If a host encrypts its payloads, all imports count as the default account's, and one that
// has ever needed attention counts as activities.ErrorOther until it ends.
func CountOpenImports(ctx context.Context, c client.Client, taskQueue string) (map[string]OpenCount, error) {
	counts := map[string]OpenCount{}
	add := func(account string, open int, problem string) {
		count, known := counts[account]
		if !known {
			count.NeedAttention = map[string]int{}
			for _, kind := range ProblemKinds() {
				count.NeedAttention[kind] = 0
			}
		}
		count.All += open
		if problem != "" {
			count.NeedAttention[problem]++
		}
		counts[account] = count
	}
	add(sink.DefaultAccount, 0, "")
	err := eachOpenImport(ctx, c, taskQueue, func(_ *commonpb.WorkflowExecution, account, problem string) {
		add(cmp.Or(account, sink.DefaultAccount), 1, problem)
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// OpenImports returns the list filter for the open imports of a task queue, or of all task
// queues if it is empty.
func OpenImports(taskQueue string) string {
	query := fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running'", ImportScrapingJobName)
	if taskQueue != "" {
		query += " AND TaskQueue = '" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(taskQueue) + "'"
	}
	return query
}

func eachOpenImport(ctx context.Context, c client.Client, taskQueue string, do func(run *commonpb.WorkflowExecution, account, problem string)) error {
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: OpenImports(taskQueue), PageSize: 1000}
	for {
		page, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return fmt.Errorf("listing the open imports of task queue %q: %w", taskQueue, err)
		}
		for _, each := range page.GetExecutions() {
			account, problem := readMemo(each.GetMemo())
			do(each.GetExecution(), account, problem)
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return nil
		}
	}
}

// Memo reads an import's account, or else the default one, and the kind of the problem that
// needs attention, "" for none, from the workflow's memo.
func Memo(memo *commonpb.Memo) (account, problem string) {
	account, problem = readMemo(memo)
	return cmp.Or(account, sink.DefaultAccount), problem
}

// readMemo is Memo with an empty account if a host has encrypted it.
func readMemo(memo *commonpb.Memo) (account, problem string) {
	return memoField(memo, accountMemo, sink.DefaultAccount, ""), memoField(memo, attentionMemo, "", activities.ErrorOther)
}

func memoField(memo *commonpb.Memo, name, missing, unreadable string) (value string) {
	payload, there := memo.GetFields()[name]
	if !there {
		return missing
	}
	if err := converter.GetDefaultDataConverter().FromPayload(payload, &value); err != nil {
		return unreadable
	}
	return value
}
