package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// maxQueries is how many imports are queried concurrently.
const maxQueries = 10

// attentionPageSize is the page size when listing imports that may need attention.
const attentionPageSize = 100

// Open returns a page of the open imports, newest first, and the token of the next page,
// which is empty after the last one. A page takes a few seconds at most: the progress of
// imports without an answer by then is unknown.
//
// The list lags by a few seconds, like Temporal's visibility; the details of each import
// are current.
func (r *Reader) Open(ctx context.Context, pageSize int, pageToken []byte) (imports []Import, next []byte, err error) {
	return r.list(ctx, workflows.OpenImports, pageSize, pageToken)
}

// NeedingAttention returns all imports that need attention, newest first, and the number of
// open imports for which that is unknown. If the namespace has the search attribute
// ImportState, it queries only imports that may need attention.
func (r *Reader) NeedingAttention(ctx context.Context) (imports []Import, unknown int, err error) {
	err = r.mayNeedAttention(func(query string) error {
		for token := []byte(nil); ; {
			page, next, err := r.list(ctx, query, attentionPageSize, token)
			if err != nil {
				return err
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
				return nil
			}
		}
	})
	return imports, unknown, err
}

// mayNeedAttention lists the open imports that may need attention: all of them if the
// namespace lacks the search attribute ImportState. Listing all, with their memos, takes
// Temporal much longer than listing a few.
func (r *Reader) mayNeedAttention(list func(query string) error) error {
	all, name := workflows.OpenImports, workflows.ImportStateAttribute.GetName()
	// A run started before the attribute was registered has none.
	err := list(fmt.Sprintf("%s AND (%s = '%s' OR %s IS NULL)", all, name, workflows.StepNeedsAttention, name))
	if _, noAttribute := errors.AsType[*serviceerror.InvalidArgument](err); noAttribute {
		err = list(all)
	}
	return err
}

// list returns a page. Only the last one may be empty.
func (r *Reader) list(ctx context.Context, query string, pageSize int, pageToken []byte) (imports []Import, next []byte, err error) {
	for {
		var runs []*workflowpb.WorkflowExecutionInfo
		if runs, pageToken, err = r.listRuns(ctx, query, pageSize, pageToken); err != nil {
			return nil, nil, err
		}
		runs = slices.DeleteFunc(runs, func(run *workflowpb.WorkflowExecutionInfo) bool {
			return r.omits(workflows.Memo(run.GetMemo()))
		})
		if imports, err = r.readAll(ctx, runs); err != nil || len(imports) > 0 || len(pageToken) == 0 {
			return imports, pageToken, err
		}
	}
}

func (r *Reader) listRuns(ctx context.Context, query string, pageSize int, pageToken []byte) ([]*workflowpb.WorkflowExecutionInfo, []byte, error) {
	page, err := r.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: query, PageSize: int32(pageSize), NextPageToken: pageToken,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the open imports: %w", err)
	}
	return page.GetExecutions(), page.GetNextPageToken(), nil
}

// readAll reads what the runs are doing, a few at a time. It omits those that closed since
// they were listed, and those of another account.
func (r *Reader) readAll(ctx context.Context, runs []*workflowpb.WorkflowExecutionInfo) ([]Import, error) {
	found := make([]Import, len(runs))
	answers, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var group sync.WaitGroup
	reading, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	slots := make(chan struct{}, maxQueries)
	for n, run := range runs {
		id, err := strconv.ParseInt(run.GetExecution().GetWorkflowId(), 10, 64)
		if err != nil {
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			queried := Import{ScrapingJobID: id, RunID: run.GetExecution().GetRunId(), TaskQueue: run.GetTaskQueue(), Open: true}
			var querying sync.WaitGroup
			querying.Go(func() { r.queryProgress(answers, &queried, listQueryTimeout) })
			read, err := r.describe(reading, id, queried.RunID)
			querying.Wait()
			if err == nil && read.Open {
				read.Progress, read.ProgressKnown, read.Failure = queried.Progress, queried.ProgressKnown, queried.Failure
				read.Account = cmp.Or(queried.Account, read.Account)
				found[n] = read
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				fail(err)
			}
		})
	}
	group.Wait()
	err := context.Cause(reading)
	return slices.DeleteFunc(found, func(i Import) bool { return !i.Open || r.Account != "" && i.Account != r.Account }), err
}
