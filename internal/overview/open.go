package overview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// atATime is how many imports are asked side by side.
const atATime = 10

// attentionPageSize is how many runs are looked at together for those that need
// attention.
const attentionPageSize = 100

// Open returns a page of the open imports, newest first, and the token of the
// next page, which is empty after the last one. A page takes a few seconds at
// most: the progress of imports that no worker tells of in that time is not
// known.
//
// The list is as current as Temporal's visibility, some seconds at most; what it
// says of each import is current.
func (r *Reader) Open(ctx context.Context, pageSize int, pageToken []byte) (imports []Import, next []byte, err error) {
	return r.list(ctx, workflows.OpenImports(r.TaskQueue), pageSize, pageToken)
}

// NeedingAttention returns all imports that wait for a person's signal, newest
// first, and how many open ones there are of which that is not known. Where the
// namespace has the search attribute ImportState, it asks only those whose state
// may be that.
func (r *Reader) NeedingAttention(ctx context.Context) (imports []Import, unknown int, err error) {
	// A run that was begun before the attribute was registered has none.
	name := workflows.ImportStateAttribute.GetName()
	byState := fmt.Sprintf(" AND (%s = '%s' OR %s IS NULL)", name, workflows.StepNeedsAttention, name)
	for token := []byte(nil); ; {
		page, next, err := r.list(ctx, workflows.OpenImports(r.TaskQueue)+byState, attentionPageSize, token)
		if _, noAttribute := errors.AsType[*serviceerror.InvalidArgument](err); noAttribute && byState != "" {
			byState = ""
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		for _, each := range page {
			switch {
			case each.NeedsAttention():
				imports = append(imports, each)
			case !each.ProgressKnown:
				unknown++
			}
		}
		if token = next; len(token) == 0 {
			return imports, unknown, nil
		}
	}
}

// list returns a page, which is empty only if it is the last one.
func (r *Reader) list(ctx context.Context, query string, pageSize int, pageToken []byte) (imports []Import, next []byte, err error) {
	for {
		page, err := r.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, PageSize: int32(pageSize), NextPageToken: pageToken,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("listing the open imports: %w", err)
		}
		runs := slices.DeleteFunc(page.GetExecutions(), func(run *workflowpb.WorkflowExecutionInfo) bool {
			return r.leavesOut(workflows.Memo(run.GetMemo()))
		})
		imports, err = r.readAll(ctx, runs)
		if pageToken = page.GetNextPageToken(); err != nil || len(imports) > 0 || len(pageToken) == 0 {
			return imports, pageToken, err
		}
	}
}

// readAll reads what the runs are doing, a few at a time, and leaves out those
// that have closed since they were listed, or are of another account.
func (r *Reader) readAll(ctx context.Context, runs []*workflowpb.WorkflowExecutionInfo) ([]Import, error) {
	found := make([]Import, len(runs))
	answers, cancel := context.WithTimeout(ctx, allAnswersWithin)
	defer cancel()
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for n, run := range runs {
		id, err := strconv.ParseInt(run.GetExecution().GetWorkflowId(), 10, 64)
		if err != nil {
			continue
		}
		group.Go(func() error {
			read, err := r.describe(reading, id, run.GetExecution().GetRunId())
			if err == nil && read.Open {
				r.askProgress(answers, &read, eachAnswerWithin)
				found[n] = read
			}
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(found, func(i Import) bool { return !i.Open || r.Account != "" && i.Account != r.Account }), err
}
