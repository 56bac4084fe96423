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
	temporalFlags
	ID    string `arg:"" name:"id" help:"ID of a scraping job."`
	Name  string `arg:"" enum:"accept,delete-now,keep,abandon,reimport" help:"accept, delete-now, keep, abandon or reimport."`
	Force bool   `help:"Send it even if the import's present state gives it no sense."`
}

// Run sends the signal to the run that is open now.
func (c *signalCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	id := scrapingJobID(&s, c.ID)
	temporal, err := c.connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	found, err := (&overview.Reader{Temporal: temporal, TaskQueue: c.taskQueue}).Import(ctx, id)
	if err != nil {
		return explain(err, id)
	}
	if !found.Open {
		return fmt.Errorf("the import of scraping job %d has ended (%s), nobody takes signals any more: to import it again, starter reimport %d",
			id, found.Step(), id)
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

// refusal says why the signal makes no sense now, and what does.
func (c *signalCommand) refusal(i overview.Import) error {
	if !i.ProgressKnown {
		return fmt.Errorf("it is not known what scraping job %d is doing, so not whether %s makes sense: %s; --force sends it all the same",
			i.ScrapingJobID, c.Name, i.Failure)
	}
	if slices.Contains(i.Progress.Signals, c.Name) {
		return nil
	}
	var sense []string
	for _, each := range commandsFor(i) {
		sense = append(sense, "\n  "+each.line+"  "+each.meaning)
	}
	if len(sense) == 0 {
		sense = []string{" nothing"}
	}
	return fmt.Errorf("scraping job %d is at step %q, where %s has no effect (--force sends it all the same); what makes sense now:%s",
		i.ScrapingJobID, i.Progress.Step, c.Name, strings.Join(sense, ""))
}
