package workflows

import (
	"cmp"
	"context"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
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
	// ByTaskQueue counts them by task queue: those of an installation that moved stay where
	// they were.
	ByTaskQueue map[string]int
	// NeedAttention counts those that need attention, for each of ProblemKinds.
	NeedAttention map[string]int
}

// CountOpenImports counts the namespace's running imports by account; the result always has
// the default account. It reads Temporal's list of workflows, which is a few seconds
// behind, 1000 per call.
// If a host encrypts its payloads, all imports count as the default account's, and one that
// has ever needed attention counts as activities.ErrorOther until it ends.
func CountOpenImports(ctx context.Context, c client.Client) (map[string]OpenCount, error) {
	counts := map[string]OpenCount{}
	of := func(account string) OpenCount {
		count, known := counts[account]
		if !known {
			count.ByTaskQueue, count.NeedAttention = map[string]int{}, map[string]int{}
			for _, kind := range ProblemKinds() {
				count.NeedAttention[kind] = 0
			}
		}
		return count
	}
	counts[sink.DefaultAccount] = of(sink.DefaultAccount)
	err := eachOpenImport(ctx, c, func(run *workflowpb.WorkflowExecutionInfo, account, problem string) {
		account = cmp.Or(account, sink.DefaultAccount)
		count := of(account)
		count.All++
		count.ByTaskQueue[run.GetTaskQueue()]++
		if problem != "" {
			count.NeedAttention[problem]++
		}
		counts[account] = count
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// OpenImports is the list filter for the open imports of a namespace, on all task queues: those
// on one that the installation has left need workers, too.
const OpenImports = "WorkflowType = '" + ImportScrapingJobName + "' AND ExecutionStatus = 'Running'"

func eachOpenImport(ctx context.Context, c client.Client, do func(run *workflowpb.WorkflowExecutionInfo, account, problem string)) error {
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: OpenImports, PageSize: 1000}
	for {
		page, err := c.ListWorkflow(ctx, request)
		if err != nil {
			return fmt.Errorf("listing the open imports: %w", err)
		}
		for _, each := range page.GetExecutions() {
			account, problem := readMemo(each.GetMemo())
			do(each, account, problem)
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
