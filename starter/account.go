package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// accountsFlags select the accounts of a command.
type accountsFlags struct {
	program.CloudFlags
	Account string `placeholder:"NAME" help:"Only this account. Default: all that have an API token."`
}

// clients are the API clients of a command's accounts, by account.
type clients map[string]*webscraper.Client

func (f *accountsFlags) clients(s *program.Settings) clients {
	all := f.Clients(s, discard())
	if f.Account == "" {
		return all
	}
	if all[f.Account] == nil && len(all) > 0 {
		s.Problem("there is no API token for account %q: want one of %s", f.Account, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	return clients{f.Account: all[f.Account]}
}

// of prefixes a line with the account, unless it is the default one and there is no other.
func (c clients) of(account string) string {
	if len(c) == 1 && account == sink.DefaultAccount {
		return ""
	}
	return "account " + account + ": "
}

// each calls do for each account, and continues with the others when one fails.
func (c clients) each(do func(name string, cloud *webscraper.Client) error) error {
	var failures []error
	for _, name := range slices.Sorted(maps.Keys(c)) {
		err := do(name, c[name])
		if webscraper.IsUnauthorized(err) {
			err = fmt.Errorf("Web Scraper Cloud refuses %s given here: use the one on its API page (%w)", tokenSetting(name), err)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s%w", c.of(name), err))
		}
	}
	return errors.Join(failures...)
}

// tokenSetting names the setting with the account's token.
func tokenSetting(account string) string {
	if account == sink.DefaultAccount {
		return "WEBSCRAPER_API_TOKEN"
	}
	return "its token in WEBSCRAPER_API_TOKENS"
}

type accountCommand struct {
	accountsFlags
	program.DatabaseFlags
}

// Run describes each account, with one API call, and its ledger if there is one.
func (c *accountCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	clients := c.clients(&s)
	if c.DatabaseURL != "" {
		c.Validate(&s)
	}
	if err := s.Err(); err != nil {
		return err
	}
	var db *sqlx.DB
	var noLedger error // before the first worker, for instance
	if c.DatabaseURL != "" {
		if db, noLedger = openMigrated(ctx, &c.DatabaseFlags); noLedger == nil {
			defer func() { _ = db.Close() }() // everything has been written
		}
	}
	table := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	failed := clients.each(func(name string, cloud *webscraper.Client) error {
		if len(clients) > 1 {
			fmt.Fprintf(table, "%s:\n", name)
		}
		if db == nil {
			err := printAccount(ctx, table, cloud)
			if noLedger != nil {
				fmt.Fprintf(table, "window\tunknown: %v\n", noLedger)
			}
			return err
		}
		ledger := postgres.NewLedger(db, name, 0)
		noAccount := printAccount(ctx, table, cloud.WithBudget(ledger))
		state, err := ledger.State(ctx)
		if err == nil {
			fmt.Fprintf(table, "window\t%s\nwaiting imports\t%d\n", window(state), state.Waiting)
		}
		return errors.Join(noAccount, err)
	})
	return errors.Join(failed, table.Flush())
}

func printAccount(ctx context.Context, table io.Writer, cloud *webscraper.Client) error {
	account, err := cloud.Account(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "account\t%s %s <%s>\n", account.FirstName, account.LastName, account.Email)
	fmt.Fprintf(table, "page credits\t%d\n", account.PageCredits)
	return nil
}

// window describes the API calls that all processes together have used.
func window(state postgres.State) string {
	if !state.Resets.After(time.Now()) {
		return "no window open; the next call opens one"
	}
	return fmt.Sprintf("%d calls made here and %d elsewhere, of %d until %s",
		state.Taken, state.Elsewhere, state.Calls, state.Resets.Local().Format(time.DateTime))
}

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
	accountsFlags
	program.DatabaseFlags
	SitemapID int64  `placeholder:"ID" help:"Only jobs of this sitemap."`
	Tag       string `help:"Only jobs of sitemaps with this tag."`
	JSON      bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the jobs page by page, with one API call per 100 jobs.
func (c *jobsCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	c.Validate(&s)
	clients := c.clients(&s)
	if err := s.Err(); err != nil {
		return err
	}
	db, err := openMigrated(ctx, &c.DatabaseFlags)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // everything has been written
	all := []listedJob{}
	failed := clients.each(func(name string, cloud *webscraper.Client) error {
		waits := func(until time.Time) {
			fmt.Fprintf(streams.Err, "%swaiting for the API's rate limit until %s\n", clients.of(name), until.Format(time.DateTime))
		}
		jobs, err := c.list(ctx, name, cloud.WithBudget(postgres.NewLedger(db, name, 0)), postgres.NewStore(db, nil), waits)
		all = append(all, jobs...)
		return err
	})
	switch {
	case failed != nil && len(clients) == 1:
		return failed
	case c.JSON:
		return errors.Join(printJSON(streams.Out, all), failed)
	}
	return errors.Join(printJobs(streams.Out, all), failed)
}

// listedJob is a job with its import, as --json prints it.
type listedJob struct {
	sink.ScrapingJob
	Published *sink.PublishedImport `json:"published,omitempty"`
	// RunAgain is true if the job has run again since its import.
	RunAgain bool `json:"run_again,omitempty"`
	// RefusedFor is the account that has a published job with this ID; this job is not
	// imported.
	RefusedFor string `json:"refused_for,omitempty"`
}

// list returns each job once. While the account has no calls left it reports that to
// waits, and waits.
func (c *jobsCommand) list(
	ctx context.Context, account string, cloud *webscraper.Client, store *postgres.Store, waits func(until time.Time),
) (all []listedJob, err error) {
	seen := map[int64]bool{}
	for page := 1; ; {
		jobs, last, err := cloud.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{SitemapID: c.SitemapID, Tag: c.Tag}, page)
		if after, limited := webscraper.IsRateLimited(err); limited {
			if waits(time.Now().Add(after)); wait(ctx, after) {
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
			listed := listedJob{ScrapingJob: activities.NewScrapingJob(account, job)}
			switch published, ok := imports[job.ID]; {
			case ok && published.Account != account:
				listed.RefusedFor = published.Account
			case ok:
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
	column := accountColumn(jobs, func(job listedJob) string { return overview.NamedAccount(job.Account) })
	fmt.Fprintf(table, "JOB\t%sSITEMAP\tCUSTOM ID\tSTATUS\tRECORDS\tIMPORTED\tAT\n", column("ACCOUNT"))
	for _, job := range jobs {
		imported, at := "no", ""
		if job.RefusedFor != "" {
			imported = "no, account " + job.RefusedFor + " has this ID"
		}
		if published := job.Published; published != nil {
			imported, at = fmt.Sprint(published.Records), published.PublishedAt.Local().Format(time.DateTime)
			if published.RemovedAt != nil {
				imported += " (removed on " + published.RemovedAt.Local().Format(time.DateTime) + ")"
			}
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
		fmt.Fprintf(table, "%d\t%s%s\t%s\t%s\t%d\t%s\t%s\n",
			job.ScrapingJobID, column(job.Account), plain(job.SitemapName), plain(job.CustomID), job.Status, job.StoredRecordCount, imported, at)
	}
	return table.Flush()
}
