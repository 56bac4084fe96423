package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type reconcileCommand struct {
	importFlags
	filterFlags
	Account string `placeholder:"NAME" help:"Only the jobs of this account. Default: all accounts."`
	DryRun  bool   `help:"Print what would be imported or retried, and change nothing."`
}

// Run makes a worker reconcile now and prints what it found.
func (c *reconcileCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	checkAccount(&s, c.Account)
	temporal, installation, overridden, err := givenBy(c.importFlags, c.filterFlags).installation(ctx, &s, streams)
	if err != nil {
		return err
	}
	defer temporal.Close()
	printOverridden(streams.Err, overridden)
	in := workflows.ReconcileScrapingJobsInput{Settings: installation.Settings, DryRun: c.DryRun, Manual: true, Account: c.Account}
	run, err := workflows.Reconcile(ctx, temporal, installation.TaskQueue, in)
	if err != nil {
		return err
	}
	var result workflows.ReconcileScrapingJobsResult
	ended := make(chan error, 1)
	go func() { ended <- run.Get(ctx, &result) }()
	select {
	case err = <-ended:
	case <-time.After(2 * time.Second):
		says := "running"
		if there, err := temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID()); err == nil && there.GetPendingWorkflowTask().GetStartedTime() == nil && there.GetPendingWorkflowTask() != nil {
			says = "waiting for a worker on task queue " + installation.TaskQueue
		}
		fmt.Fprintf(streams.Err, "workflow %s, run %s: %s\n", run.GetID(), run.GetRunID(), says)
		err = <-ended
	}
	if err != nil {
		return fmt.Errorf("reconciling: %s", workflows.Sentence(err))
	}
	failures := []error{printReconciliation(streams.Out, result, c.DryRun)}
	for _, failed := range result.FailedAccounts {
		failures = append(failures, fmt.Errorf("account %s: its jobs were not checked: %s", failed.Account, failed.Reason))
	}
	if len(result.UnderWay) > 0 {
		fmt.Fprintf(streams.Out, "still checking the jobs of these accounts, each in its own workflow: %s\n", strings.Join(result.UnderWay, ", "))
	}
	return errors.Join(failures...)
}

func printReconciliation(out io.Writer, result workflows.ReconcileScrapingJobsResult, dryRun bool) error {
	if len(result.Jobs) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		column := accountColumn(result.Jobs, func(due activities.DueScrapingJob) string { return overview.NamedAccount(due.Job.Account) })
		fmt.Fprintf(table, "JOB\t%sSITEMAP\tSTATUS\tRECORDS\tWHY\n", column("ACCOUNT"))
		for _, due := range result.Jobs {
			why := "not imported"
			switch {
			case due.NotDeleted:
				why = "still in the cloud, though recorded as deleted"
			case due.Published:
				why = "run again since its import"
			}
			fmt.Fprintf(table, "%d\t%s%s\t%s\t%d\t%s\n", due.Job.ScrapingJobID, column(due.Job.Account), due.Job.SitemapName, due.Job.Status, due.Job.StoredRecordCount, why)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if more := result.Due - len(result.Jobs); more > 0 {
		fmt.Fprintf(out, "… and %d more\n", more)
	}
	done := "imports started"
	if dryRun || result.Due == 0 {
		done = "nothing started"
	}
	fmt.Fprintf(out, "%d of %d jobs are due: %s\n", result.Due, result.Listed, done)
	if result.Refused > 0 {
		fmt.Fprintf(out, "%d imports failed to start or retry; the next reconciliation tries again:\n  %s\n", result.Refused, strings.Join(result.WhyRefused, "\n  "))
	}
	if result.TriedAgain > 0 {
		are := "are retrying"
		if dryRun {
			are = "would be retried"
		}
		fmt.Fprintf(out, "%d imports that need attention %s\n", result.TriedAgain, are)
	}
	if result.Removing {
		fmt.Fprintln(out, "leftovers of ended runs are still being removed, by workflow scrapehaul-reconcile-leftovers")
	}
	if result.RemovedImports > 0 || result.RemovedFiles > 0 {
		fmt.Fprintf(out, "removed leftovers of ended runs: %d unpublished imports, %d spool files\n", result.RemovedImports, result.RemovedFiles)
	}
	if result.RemovedOldImports > 0 {
		fmt.Fprintf(out, "removed by RECORDS_RETENTION and KEEP_IMPORTS: %d imports with %d records\n", result.RemovedOldImports, result.RemovedOldRecords)
	}
	if result.RemovedArchivedFiles > 0 {
		fmt.Fprintf(out, "removed from the archive by ARCHIVE_RETENTION: %d files\n", result.RemovedArchivedFiles)
	}
	return nil
}
