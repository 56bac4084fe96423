package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

type runCommand struct {
	taskQueueFlag
	SitemapID        int64           `arg:"" name:"sitemap-id" help:"ID of a sitemap in Web Scraper Cloud."`
	Account          string          `placeholder:"NAME" help:"Account that has the sitemap. Default: default."`
	StartURLs        []string        `name:"start-url" sep:"none" placeholder:"URL" help:"Scrape this URL instead of the sitemap's start URLs. Repeatable."`
	Driver           string          `enum:"fast,fulljs" default:"fast" help:"fast for plain HTML, fulljs to run JavaScript in a browser. Default: ${default}."`
	PageLoadDelay    time.Duration   `default:"2s" help:"Delay after each page load. Default: ${default}."`
	RequestInterval  time.Duration   `default:"2s" help:"Time between two requests. Default: ${default}."`
	Proxy            string          `placeholder:"ID" help:"0 for none, 1 for the default proxy, or a proxy's ID. Default: the sitemap's."`
	CustomID         string          `placeholder:"TEXT" help:"The job's custom_id, which identifies the run: repeating the command returns the same run. {run} is replaced by a unique ID. Default: {run}."`
	TimeLimit        time.Duration   `placeholder:"DURATION" help:"Fail if the records are not published within this time. Default: no limit."`
	IfNotFinished    contract.Policy `enum:"return,wait,fail" default:"return" help:"If the job is stopped or fails: return its records, wait until someone continues it, or fail. Default: ${default}."`
	IfNeedsAttention contract.Policy `enum:"return,wait,fail" default:"wait" help:"If the import needs attention: return, wait for a signal, or fail. Default: ${default}."`
	MaxReruns        int             `placeholder:"N" help:"How many times to rescrape failed and empty URLs. Default: 0."`
	MinPageCredits   int64           `placeholder:"N" help:"Fail if the account has fewer page credits than this. Default: not checked."`
	Wait             bool            `help:"Wait until the records are published and print the result."`
	JSON             bool            `name:"json" help:"Print a JSON object."`
}

// Run starts the workflow and prints its ID, or waits for its result.
func (c *runCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	in := c.input(&s)
	temporal, err := c.connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	run, isNew, err := workflows.StartRunSitemap(ctx, temporal, c.taskQueue, in)
	if err != nil {
		return err
	}
	out := streams.Out
	if c.Wait {
		out = streams.Err
	}
	there := ""
	if !isNew {
		there = ", which exists already and keeps its own options"
	}
	switch {
	case c.Wait || !c.JSON:
		fmt.Fprintf(out, "sitemap %d: workflow %s, run %s%s\n", c.SitemapID, run.GetID(), run.GetRunID(), there)
	default:
		return printJSON(out, map[string]any{"workflow_id": run.GetID(), "run_id": run.GetRunID(), "is_new": isNew, "account": cmp.Or(c.Account, sink.DefaultAccount)})
	}
	if !c.Wait {
		fmt.Fprintf(out, program.Commands("starter list shows the scraping job once it is created; to get the result: %s\n"), resultOf(run))
		return nil
	}
	return c.await(ctx, temporal, run, streams)
}

func resultOf(run client.WorkflowRun) string {
	return "temporal workflow result --workflow-id " + run.GetID()
}

// input reports problems to s.
func (c *runCommand) input(s *program.Settings) workflows.RunSitemapInput {
	if c.SitemapID <= 0 {
		s.Problem("%d is not a sitemap ID: want a positive number", c.SitemapID)
	}
	for _, each := range []struct {
		name  string
		value any
		ok    bool
	}{
		{"--page-load-delay", c.PageLoadDelay, c.PageLoadDelay >= time.Millisecond},
		{"--request-interval", c.RequestInterval, c.RequestInterval >= time.Millisecond},
		{"--time-limit", c.TimeLimit, c.TimeLimit >= 0},
		{"--max-reruns", c.MaxReruns, c.MaxReruns >= 0},
		{"--min-page-credits", c.MinPageCredits, c.MinPageCredits >= 0},
	} {
		if !each.ok {
			s.Problem("%s is %v: want more", each.name, each.value)
		}
	}
	checkAccount(s, c.Account)
	in := contract.RunSitemapInput{
		Account: c.Account, SitemapID: c.SitemapID, Driver: c.Driver, Proxy: c.Proxy, StartURLs: c.StartURLs, CustomID: c.CustomID, Resume: c.CustomID != "",
		PageLoadDelay: c.PageLoadDelay.Milliseconds(), RequestInterval: c.RequestInterval.Milliseconds(),
		IfNotFinished: c.IfNotFinished, IfNeedsAttention: c.IfNeedsAttention, MaxReruns: c.MaxReruns, MinPageCredits: c.MinPageCredits,
	}
	if c.TimeLimit > 0 {
		in.TimeLimit = c.TimeLimit.String()
	}
	return workflows.RunSitemapInput{RunSitemapInput: in}
}

func (c *runCommand) await(ctx context.Context, temporal client.Client, run client.WorkflowRun, streams program.Streams) error {
	var result contract.RunSitemapResult
	watch := runWatch{temporal: temporal, run: run, reader: &overview.Reader{Temporal: temporal}}
	watch.refresh(ctx)
	err := followRun(ctx, streams, run, &result, watch.see, watch.refresh)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped waiting; workflow %s continues. To get its result: %s; to cancel it: temporal workflow cancel --workflow-id %s",
			run.GetID(), resultOf(run), run.GetID())
	case err != nil && watch.progress.ScrapingJobID != 0:
		return fmt.Errorf("running sitemap %d: %s (see starter status %d)", c.SitemapID, workflows.Sentence(err), watch.progress.ScrapingJobID)
	case err != nil:
		return fmt.Errorf("running sitemap %d: %s", c.SitemapID, workflows.Sentence(err))
	}
	if c.JSON {
		err = printJSON(streams.Out, result)
	} else {
		err = printRun(streams.Out, result)
	}
	if err == nil && result.Outcome == contract.NeedsAttention {
		return program.ErrNeedsAttention
	}
	return err
}

// runWatch has the last known state of a run and of its import.
type runWatch struct {
	temporal client.Client
	run      client.WorkflowRun
	reader   *overview.Reader

	progress contract.RunSitemapProgress
	job      *overview.Import // nil if there is none yet
}

// refresh keeps the last known state if there is no answer: the run's result will come.
func (w *runWatch) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := w.temporal.QueryWorkflow(ctx, w.run.GetID(), w.run.GetRunID(), workflows.ProgressQuery)
	var progress contract.RunSitemapProgress
	if err != nil || answer.Get(&progress) != nil {
		return
	}
	w.progress, w.job = progress, nil
	if progress.ScrapingJobID == 0 {
		return
	}
	if job, err := w.reader.Import(ctx, progress.ScrapingJobID); err == nil {
		w.job = &job
	}
}

func (w *runWatch) see(now time.Time) scene {
	switch {
	case w.job != nil && w.job.NeedsAttention():
		return scene{step: fmt.Sprintf("job %d %s: %s", w.job.ScrapingJobID, w.job.Step(), plain(w.job.Progress.Attention))}
	case w.job != nil:
		s := sceneOf(*w.job, now)
		s.step = fmt.Sprintf("job %d %s", w.job.ScrapingJobID, s.step)
		return s
	case w.progress.Waits != "":
		return scene{step: "waiting for " + plain(w.progress.Waits)}
	}
	return scene{step: "waiting for a worker"}
}

// printRun prints a line for each job, then reasons and problems.
func printRun(out io.Writer, result contract.RunSitemapResult) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "JOB\tSITEMAP\tSTATUS\tPAGES\tFAILED\tEMPTY\tRECORDS\tREJECTED\tIMPORT\tOUTCOME")
	jobs := append([]contract.ScrapedJob{result.ScrapedJob}, result.Reruns...)
	for n, job := range jobs {
		outcome := string(job.Outcome)
		if n > 0 {
			outcome += ", rerun"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", job.ScrapingJobID, plain(job.SitemapName), job.Status,
			job.JobsExecuted, job.JobsFailed, job.JobsEmpty, job.Records, job.Rejected, job.ImportID, outcome)
	}
	err := table.Flush()
	for _, job := range jobs {
		if job.Reason != "" {
			fmt.Fprintf(out, "job %d: %s\n", job.ScrapingJobID, plain(job.Reason))
		}
		if job.Problem != "" {
			fmt.Fprintf(out, "job %d, not done: %s\n", job.ScrapingJobID, plain(job.Problem))
		}
	}
	return err
}
