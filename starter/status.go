package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type statusCommand struct {
	ID    string `arg:"" name:"id" help:"Scraping job ID."`
	JSON  bool   `name:"json" help:"Print a JSON object."`
	Watch bool   `default:"true" negatable:"" help:"On a terminal, follow the import with a progress bar until it ends or waits."`
}

// Run shows one import.
func (c *statusCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	id := scrapingJobID(&s, c.ID)
	temporal, err := connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	reader := &overview.Reader{Temporal: temporal}
	found, err := reader.Import(ctx, id)
	if err != nil {
		return explain(err, id)
	}
	if c.Watch && !c.JSON && streams.Terminal() != nil && !settled(found) {
		if found, err = followImport(ctx, reader, found, streams); err != nil {
			return err
		}
	}
	now := time.Now()
	if c.JSON {
		err = printJSON(streams.Out, viewOf(found, now))
	} else {
		err = printImport(streams.Out, found, now)
	}
	if err == nil && needsAttention(found) {
		return program.ErrNeedsAttention
	}
	return err
}

// settled reports whether the import has ended or waits.
func settled(i overview.Import) bool {
	return !i.Open || i.NeedsAttention() || i.ProgressKnown && i.Progress.Step == workflows.StepHold
}

// needsAttention reports whether the import waits for an operator, or has failed.
func needsAttention(i overview.Import) bool {
	return i.NeedsAttention() || i.Status == "Failed" || i.Status == "TimedOut"
}

// explain adds what to do about a job without an import.
func explain(err error, id int64) error {
	if errors.Is(err, overview.ErrNotFound) {
		return fmt.Errorf("%w: start one with: starter import %d", err, id)
	}
	return err
}
