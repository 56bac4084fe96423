package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
)

// RegisterSpool records in the database that a worker polls for this spool, so that the
// spool is swept from then on. Workers call it when they start, and so does SweepSpool.
func (a *Activities) RegisterSpool(ctx context.Context) error {
	return a.Store.RegisterSpool(ctx, a.Spool.name, a.WorkerTaskQueue)
}

// ListSpoolsResult has the worker-specific task queues.
type ListSpoolsResult struct {
	TaskQueues []string `json:"task_queues"`
}

// ListSpools lists the spools of its task queue that had a worker within the last day.
func (a *Activities) ListSpools(ctx context.Context) (ListSpoolsResult, error) {
	taskQueues, err := a.Store.SpoolTaskQueues(ctx, activity.GetInfo(ctx).TaskQueue+spoolSeparator)
	return ListSpoolsResult{TaskQueues: taskQueues}, classify(ctx, err)
}

// Removed counts what was removed.
type Removed struct {
	// Imports counts imports of runs that ended without publishing them.
	Imports int `json:"imports,omitempty"`
	// Files counts files of the spool.
	Files int `json:"files,omitempty"`
	// OldImports counts published imports whose retention was over, OldRecords their
	// records.
	OldImports int   `json:"old_imports,omitempty"`
	OldRecords int64 `json:"old_records,omitempty"`
	// ArchivedFiles counts archived files whose retention was over.
	ArchivedFiles int `json:"archived_files,omitempty"`
}

// SweepSpool removes the spool's files of ended runs: a terminated run does not remove its
// own.
func (a *Activities) SweepSpool(ctx context.Context) (Removed, error) {
	removed, err := a.sweepSpool(ctx)
	if err != nil {
		return Removed{}, classify(ctx, fmt.Errorf("sweeping the spool: %w", err))
	}
	return Removed{Files: removed}, nil
}

func (a *Activities) sweepSpool(ctx context.Context) (removed int, err error) {
	entries, err := os.ReadDir(a.Spool.dir)
	if err != nil {
		return 0, spoolError{err}
	}
	for _, entry := range entries {
		id, runID, ok := ownerOf(entry.Name())
		if !ok {
			continue // not ours
		}
		open, err := isOpen(ctx, id, runID)
		if err != nil {
			return removed, err
		}
		if open {
			continue
		}
		if err := os.Remove(filepath.Join(a.Spool.dir, entry.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return removed, spoolError{err}
		}
		removed++
	}
	return removed, a.RegisterSpool(ctx)
}

// FileName returns the name of the spool file of a run's n-th download. It ends in .json
// for every format.
func FileName(scrapingJobID int64, runID string, n int) string {
	return fmt.Sprintf("scrapingjob-%d-%s-%d.json", scrapingJobID, runID, n)
}

var fileName = regexp.MustCompile(`^scrapingjob-(\d+)-(.+)-\d+\.json(` + regexp.QuoteMeta(partialSuffix) + `.+)?$`)

// ownerOf parses a FileName or the name of its partial download.
func ownerOf(name string) (scrapingJobID int64, runID string, ok bool) {
	parts := fileName.FindStringSubmatch(name)
	if parts == nil {
		return 0, "", false
	}
	id, err := strconv.ParseInt(parts[1], 10, 64)
	return id, parts[2], err == nil
}

// isOpen asks Temporal whether the run of the job's workflow is running.
func isOpen(ctx context.Context, scrapingJobID int64, runID string) (bool, error) {
	workflowID := strconv.FormatInt(scrapingJobID, 10)
	run, err := activity.GetClient(ctx).DescribeWorkflowExecution(ctx, workflowID, runID)
	if is[*serviceerror.NotFound](err) || is[*serviceerror.InvalidArgument](err) { // or not the ID of a run
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking Temporal for run %s of workflow %s: %w", runID, workflowID, err)
	}
	return run.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
