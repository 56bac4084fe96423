package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

type runCommand struct {
	temporalFlags
	SitemapID        int64           `arg:"" name:"sitemap-id" help:"ID of a sitemap in Web Scraper Cloud."`
	StartURLs        []string        `name:"start-url" sep:"none" placeholder:"URL" help:"Scrape this page in place of the sitemap's start URLs. May be given several times."`
	Driver           string          `enum:"fast,fulljs" default:"fast" help:"fast for plain HTML, fulljs for a browser that runs JavaScript. Default: ${default}."`
	PageLoadDelay    time.Duration   `default:"2s" help:"How long to wait for a page after it was loaded. Default: ${default}."`
	RequestInterval  time.Duration   `default:"2s" help:"Time between two pages. Default: ${default}."`
	Proxy            string          `placeholder:"ID" help:"0 for no proxy, 1 for the default one, or a proxy's ID. Default: the sitemap's."`
	CustomID         string          `placeholder:"TEXT" help:"Comes back with the job and its records, and names the run: the same command again is the same run. {run} in it is replaced by a text that no other run has. Default: {run}."`
	TimeLimit        time.Duration   `help:"How long to wait for the records at most. Default: no limit."`
	IfNotFinished    contract.Policy `enum:"return,wait,fail" default:"return" help:"What to do when the job is stopped or fails: return its records, wait until somebody continues it, or fail. Default: ${default}."`
	IfNeedsAttention contract.Policy `enum:"return,wait,fail" default:"wait" help:"What to do when the import needs a person: return, wait or fail. Default: ${default}."`
	MaxReruns        int             `placeholder:"N" help:"How many times to scrape failed and empty URLs again. Default: 0."`
	MinPageCredits   int64           `placeholder:"N" help:"Page credits that the account has to have. Default: not looked at."`
	Wait             bool            `help:"Wait until the records are published, and print the result."`
	JSON             bool            `name:"json" help:"Print a JSON object."`
}

// Run starts the workflow and says which one it is, or waits for its result.
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
		there = ", which was there already: what that was started with counts"
	}
	switch {
	case c.Wait || !c.JSON:
		fmt.Fprintf(out, "sitemap %d: workflow %s, run %s%s\n", c.SitemapID, run.GetID(), run.GetRunID(), there)
	default:
		return printJSON(out, map[string]any{"workflow_id": run.GetID(), "run_id": run.GetRunID(), "is_new": isNew})
	}
	if !c.Wait {
		fmt.Fprintf(out, "the scraping job is in starter list as soon as it is created; the result, when there is one: %s\n", resultOf(run))
		return nil
	}
	return c.await(ctx, temporal, run, streams)
}

func resultOf(run client.WorkflowRun) string {
	return "temporal workflow result --workflow-id " + run.GetID()
}

// input notes in s what is wrong.
func (c *runCommand) input(s *program.Settings) workflows.RunSitemapInput {
	if c.SitemapID <= 0 {
		s.Problem("%d is not the ID of a sitemap: want a positive number", c.SitemapID)
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
	in := contract.RunSitemapInput{
		SitemapID: c.SitemapID, Driver: c.Driver, Proxy: c.Proxy, StartURLs: c.StartURLs, CustomID: c.CustomID,
		PageLoadDelay: c.PageLoadDelay.Milliseconds(), RequestInterval: c.RequestInterval.Milliseconds(),
		IfNotFinished: c.IfNotFinished, IfNeedsAttention: c.IfNeedsAttention, MaxReruns: c.MaxReruns, MinPageCredits: c.MinPageCredits,
	}
	if c.TimeLimit > 0 {
		in.TimeLimit = c.TimeLimit.String()
	}
	return workflows.RunSitemapInput{RunSitemapInput: in}
}

// await shows how far the run is, and then its result.
func (c *runCommand) await(ctx context.Context, temporal client.Client, run client.WorkflowRun, streams program.Streams) error {
	var result contract.RunSitemapResult
	ended := make(chan error, 1)
	go func() { ended <- run.Get(ctx, &result) }()
	watch := runWatch{temporal: temporal, run: run, reader: &overview.Reader{Temporal: temporal, TaskQueue: c.taskQueue}}
	over := func() (bool, error) {
		select {
		case err := <-ended:
			return true, err
		default:
			watch.look(ctx)
			return false, nil
		}
	}
	watch.look(ctx)
	err := follow(ctx, streams, watch.see, over)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped waiting: workflow %s goes on; its result, when there is one: %s; to cancel it: temporal workflow cancel --workflow-id %s",
			run.GetID(), resultOf(run), run.GetID())
	case err != nil && watch.progress.ScrapingJobID != 0:
		return fmt.Errorf("running sitemap %d: %s (more about its job: starter status %d)", c.SitemapID, workflows.Sentence(err), watch.progress.ScrapingJobID)
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

// runWatch is what is seen of a run, and of the import that it waits for.
type runWatch struct {
	temporal client.Client
	run      client.WorkflowRun
	reader   *overview.Reader

	progress contract.RunSitemapProgress
	job      *overview.Import // nil while there is none
}

// look leaves what is not known as it was: the run's end tells what matters.
func (w *runWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
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
		return scene{step: plain(w.progress.Waits)}
	}
	return scene{step: "waiting for a worker"}
}

// printRun has a line for each job, and what is to be said about it.
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
