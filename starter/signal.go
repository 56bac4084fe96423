package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type signalCommand struct {
	ID    string `arg:"" name:"id" help:"Scraping job ID."`
	Name  string `arg:"" enum:"accept,delete-now,keep,abandon,reimport" help:"accept, delete-now, keep, abandon or reimport."`
	Force bool   `help:"Send the signal even if it has no effect in the import's current state."`
}

// Run sends the signal to the open run.
func (c *signalCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	id := scrapingJobID(&s, c.ID)
	temporal, err := connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	found, err := (&overview.Reader{Temporal: temporal}).Import(ctx, id)
	if err != nil {
		return explain(err, id)
	}
	if !found.Open {
		return fmt.Errorf("the import of scraping job %d has ended (%s) and takes no more signals; to import it again: %s",
			id, found.Step(), found.ReimportCommand())
	}
	if err := c.refusal(found); err != nil && !c.Force {
		return err
	}
	if err := temporal.SignalWorkflow(ctx, workflows.WorkflowID(id), found.RunID, c.Name, found.Progress.Input(c.Name)); err != nil {
		return fmt.Errorf("sending the signal %s to scraping job %d: %w", c.Name, id, err)
	}
	fmt.Fprintf(streams.Out, "scraping job %d: sent %s, which %s\n", id, c.Name, found.Progress.Meaning(c.Name))
	return nil
}

// refusal says why the signal has no effect now, and which commands do.
func (c *signalCommand) refusal(i overview.Import) error {
	if !i.ProgressKnown {
		return fmt.Errorf("the state of scraping job %d is unknown, so %s may have no effect: %s; --force sends it anyway",
			i.ScrapingJobID, c.Name, i.Failure)
	}
	if slices.Contains(i.Progress.Signals, c.Name) {
		return nil
	}
	var effective []string
	for _, each := range commandsFor(i) {
		effective = append(effective, "\n  "+each.line+"  "+each.meaning)
	}
	if len(effective) == 0 {
		effective = []string{" none"}
	}
	return fmt.Errorf("scraping job %d is at step %q, where %s has no effect (--force sends it anyway); commands that do:%s",
		i.ScrapingJobID, i.Progress.Step, c.Name, strings.Join(effective, ""))
}
