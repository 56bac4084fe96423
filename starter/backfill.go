package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type backfillCommand struct {
	taskQueueFlag
	Account string `placeholder:"NAME" help:"Account that has the sitemap. Default: default."`
	Sitemap string `arg:"" help:"Sitemap with a mapping."`
}

// Help describes the command.
func (backfillCommand) Help() string {
	return "Writes the rows of all published records that the sitemap's mapped table does not show yet, or shows as mapped by an earlier version of the mapping. It uses neither the cloud nor the archive. Run it again at any time: it resumes where it stopped."
}

// Run starts the backfill and shows its progress until it ends.
func (c *backfillCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	checkAccount(&s, c.Account)
	temporal, err := c.connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	run, err := workflows.StartBackfill(ctx, temporal, c.taskQueue, c.Account, c.Sitemap)
	if err != nil {
		return err
	}
	fmt.Fprintf(streams.Err, "workflow %s, run %s; to stop it: temporal workflow cancel --workflow-id %[1]q\n", run.GetID(), run.GetRunID())
	watch := backfillWatch{temporal: temporal, run: run, seen: scene{step: "waiting for a worker on task queue " + c.taskQueue}}
	var result activities.Backfill
	err = followRun(ctx, streams, run, &result, func(time.Time) scene { return watch.seen }, watch.refresh)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped watching; workflow %s continues", run.GetID())
	case err != nil:
		return fmt.Errorf("filling the table of sitemap %s: %s; run starter backfill again to resume", plain(c.Sitemap), workflows.Sentence(err))
	}
	fmt.Fprintf(streams.Out, "table %s: %s with %s, of which %s do not fit\n", plain(result.Table),
		english.Plural(int(result.OfImports), "published import", ""), english.Plural(int(result.OfRecords), "record", ""), humanize.Comma(result.Unmapped))
	if result.Incomplete > 0 {
		jobs := strings.Trim(fmt.Sprint(result.IncompleteJobs), "[]")
		fmt.Fprintf(streams.Out, program.Commands("the rows of %s are unchanged: some of their records were removed or never kept; to map them from the cloud or the archive: starter reimport %s\n"),
			english.Plural(int(result.Incomplete), "other import", ""), jobs)
	}
	return nil
}

type backfillWatch struct {
	temporal client.Client
	run      client.WorkflowRun
	seen     scene
}

// refresh keeps the last known state if there is no answer.
func (w *backfillWatch) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	there, err := w.temporal.DescribeWorkflowExecution(ctx, w.run.GetID(), w.run.GetRunID())
	if err != nil {
		return
	}
	for _, pending := range there.GetPendingActivities() {
		var at activities.Backfill
		if converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &at) == nil && at.Table != "" {
			w.seen = scene{
				step:   "filling table " + plain(at.Table),
				state:  fmt.Sprintf("%d of %d imports, %s of %s records", at.Imports, at.OfImports, humanize.Comma(at.Records), humanize.Comma(at.OfRecords)),
				amount: overview.Amount{Done: at.Records, Of: at.OfRecords},
			}
		}
		if failure := pending.GetLastFailure().GetMessage(); failure != "" && pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
			w.seen.step = "retrying after: " + plain(failure)
		}
	}
}
