package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

type accountCommand struct {
	program.CloudFlags
	program.DatabaseFlags
}

// Run asks for the account, which is one API call, and the ledger where there is one.
func (c *accountCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	cloud := c.ClientOf(&s, discard(), sink.DefaultAccount)
	if c.DatabaseURL != "" {
		c.Validate(&s)
	}
	if err := s.Err(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	if c.DatabaseURL == "" {
		return errors.Join(printAccount(ctx, table, cloud), table.Flush())
	}
	db, err := openMigrated(ctx, &c.DatabaseFlags)
	if err != nil { // as before the first worker
		cloudErr := printAccount(ctx, table, cloud)
		fmt.Fprintf(table, "window\tnot known: %v\n", err)
		return errors.Join(cloudErr, table.Flush())
	}
	defer func() { _ = db.Close() }() // what is to be written has been
	ledger := postgres.NewLedger(db, sink.DefaultAccount, 0)
	return errors.Join(printAccount(ctx, table, cloud.WithBudget(ledger)), printLedger(ctx, table, ledger), table.Flush())
}

func printAccount(ctx context.Context, table io.Writer, cloud *webscraper.Client) error {
	account, err := cloud.Account(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "account\t%s %s <%s>\n", account.FirstName, account.LastName, account.Email)
	fmt.Fprintf(table, "page credits\t%d\n", account.PageCredits)
	fmt.Fprintf(table, "API calls left\t%s\n", budget(cloud))
	return nil
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

// printLedger says what all processes together have made of the window.
func printLedger(ctx context.Context, table io.Writer, ledger *postgres.Ledger) error {
	state, err := ledger.State(ctx)
	if err != nil {
		return err
	}
	window := "none: the next call begins one"
	if state.Resets.After(time.Now()) {
		window = fmt.Sprintf("%d calls made here and %d elsewhere, of %d until %s",
			state.Taken, state.Elsewhere, state.Calls, state.Resets.Local().Format(time.DateTime))
	}
	fmt.Fprintf(table, "window\t%s\n", window)
	fmt.Fprintf(table, "imports that wait\t%d\n", state.Waiting)
	return nil
}

// openMigrated returns a connection to a database that has the schema.
func openMigrated(ctx context.Context, flags *program.DatabaseFlags) (*sqlx.DB, error) {
	db, err := flags.Connect(1)
	if err != nil {
		return nil, err
	}
	if err := postgres.CheckSchema(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("the database of DATABASE_URL: %w", err), db.Close())
	}
	return db, nil
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
	cloud := c.ClientOf(&s, discard(), sink.DefaultAccount)
	if err := s.Err(); err != nil {
		return err
	}
	db, err := openMigrated(ctx, &c.DatabaseFlags)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what is to be written has been
	cloud = cloud.WithBudget(postgres.NewLedger(db, sink.DefaultAccount, 0))
	jobs, err := listJobs(ctx, cloud, webscraper.ListScrapingJobsOptions{SitemapID: c.SitemapID, Tag: c.Tag}, postgres.NewStore(db, nil), streams.Err)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(streams.Out, jobs)
	}
	return printJobs(streams.Out, jobs)
}

// listedJob is a job of the account with its import, as --json prints it.
type listedJob struct {
	sink.ScrapingJob
	Published *sink.PublishedImport `json:"published,omitempty"`
	// RunAgain is set when the job has run again since its import.
	RunAgain bool `json:"run_again,omitempty"`
}

// listJobs returns each job once. It waits for the calls that the account does not
// have at present, and says so.
func listJobs(
	ctx context.Context, cloud *webscraper.Client, which webscraper.ListScrapingJobsOptions, store *postgres.Store, says io.Writer,
) ([]listedJob, error) {
	all, seen := []listedJob{}, map[int64]bool{}
	for page := 1; ; {
		jobs, last, err := cloud.ScrapingJobsPage(ctx, which, page)
		if after, limited := webscraper.IsRateLimited(err); limited {
			fmt.Fprintf(says, "waits for the API's limit of calls until %s\n", time.Now().Add(after).Format(time.DateTime))
			if wait(ctx, after) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		var ids []int64
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		imports, err := store.PublishedImports(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, job := range jobs {
			if seen[job.ID] {
				continue
			}
			seen[job.ID] = true
			listed := listedJob{ScrapingJob: activities.NewScrapingJob(sink.DefaultAccount, job)}
			if published, ok := imports[job.ID]; ok {
				listed.RunAgain = !listed.SameContent(published.ScrapingJob)
				listed.Published = &published
			}
			all = append(all, listed)
		}
		if page++; len(jobs) == 0 || last != 0 && page > last {
			return all, nil
		}
	}
}

func printJobs(out io.Writer, jobs []listedJob) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "JOB\tSITEMAP\tCUSTOM ID\tSTATUS\tRECORDS\tIMPORTED\tAT")
	for _, job := range jobs {
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
