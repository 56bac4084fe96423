package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

type accountCommand struct {
	program.CloudFlags
}

// Run asks for the account, which is one API call.
func (c *accountCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	cloud := c.Client(&s, slog.New(slog.DiscardHandler))
	if err := s.Err(); err != nil {
		return err
	}
	account, err := cloud.Account(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "account\t%s %s <%s>\n", account.FirstName, account.LastName, account.Email)
	fmt.Fprintf(table, "page credits\t%d\n", account.PageCredits)
	fmt.Fprintf(table, "API calls left\t%s\n", budget(cloud))
	return table.Flush()
}

// budget says what the last answer told of the account's API budget.
func budget(cloud *webscraper.Client) string {
	limit, known := cloud.RateLimit()
	if !known {
		return "unknown: the API did not say"
	}
	text := fmt.Sprintf("%d of %d per 15 minutes", limit.Remaining, limit.Limit)
	if !limit.Reset.IsZero() {
		text += ", all of them again at " + limit.Reset.Local().Format(time.DateTime)
	}
	return text
}

type jobsCommand struct {
	program.CloudFlags
	program.DatabaseFlags
	SitemapID int64  `placeholder:"ID" help:"Only jobs of this sitemap."`
	Tag       string `help:"Only jobs of sitemaps with this tag."`
	JSON      bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the jobs, page by page: one API call for each 100 of them.
func (c *jobsCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	c.Validate(&s)
	cloud := c.Client(&s, slog.New(slog.DiscardHandler))
	if err := s.Err(); err != nil {
		return err
	}
	db, err := c.Connect(1)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is written
	if err := postgres.CheckSchema(ctx, db); err != nil {
		return fmt.Errorf("the database of DATABASE_URL: %w", err)
	}
	list := printJobs
	if c.JSON {
		list = printJobsJSON
	}
	return list(streams.Out, jobsWithImports(ctx, cloud, postgres.NewStore(db, nil),
		webscraper.ListScrapingJobsOptions{SitemapID: c.SitemapID, Tag: c.Tag}))
}

// listedJob is a job of the account with its import, as --json prints it.
type listedJob struct {
	sink.ScrapingJob
	Published *sink.PublishedImport `json:"published,omitempty"`
	// RunAgain is set when the job has run again since its import.
	RunAgain bool `json:"run_again,omitempty"`
}

// jobsWithImports ends after the first error.
func jobsWithImports(ctx context.Context, cloud *webscraper.Client, store *postgres.Store, which webscraper.ListScrapingJobsOptions) iter.Seq2[listedJob, error] {
	return func(yield func(listedJob, error) bool) {
		for job, err := range cloud.ScrapingJobs(ctx, which) {
			if err != nil {
				yield(listedJob{}, err)
				return
			}
			listed := listedJob{ScrapingJob: activities.NewScrapingJob(job)}
			imports, err := store.PublishedImports(ctx, []int64{job.ID})
			if published, ok := imports[job.ID]; ok {
				listed.RunAgain = !listed.SameContent(published.ScrapingJob)
				listed.Published = &published
			}
			if !yield(listed, err) || err != nil {
				return
			}
		}
	}
}

func printJobsJSON(out io.Writer, jobs iter.Seq2[listedJob, error]) error {
	all := []listedJob{}
	for job, err := range jobs {
		if err != nil {
			return err
		}
		all = append(all, job)
	}
	return printJSON(out, all)
}

func printJobs(out io.Writer, jobs iter.Seq2[listedJob, error]) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "JOB\tSITEMAP\tCUSTOM ID\tSTATUS\tRECORDS\tIMPORTED\tAT")
	for job, err := range jobs {
		if err != nil {
			return err
		}
		imported, at := "no", ""
		if published := job.Published; published != nil {
			imported, at = fmt.Sprint(published.Records), published.PublishedAt.Local().Format(time.DateTime)
			if published.Rejected > 0 {
				imported += fmt.Sprintf(" (%d rejected)", published.Rejected)
			}
			if published.Unmapped > 0 {
				imported += fmt.Sprintf(" (%d without a row in the mapped table)", published.Unmapped)
			}
			if job.RunAgain {
				imported += " (has run again since)"
			}
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n",
			job.ScrapingJobID, plain(job.SitemapName), plain(job.CustomID), job.Status, job.StoredRecordCount, imported, at)
	}
	return table.Flush()
}
