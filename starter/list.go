package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize/english"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
)

// listPage is how many imports are read at a time.
const listPage = 50

// connect returns a client for commands that need only the TEMPORAL_* variables.
func connect(ctx context.Context, s *program.Settings) (client.Client, error) {
	options := s.Temporal(discard())
	if err := s.Err(); err != nil {
		return nil, err
	}
	return dial(ctx, options)
}

type listCommand struct {
	Account        string `placeholder:"NAME" help:"Only imports of this account, including those that wait for its API token."`
	NeedsAttention bool   `help:"Only imports that need attention, all of them; the exit status is 3 if there are any."`
	Limit          int    `default:"50" placeholder:"N" help:"List the newest N imports; 0 for all. Default: ${default}."`
	JSON           bool   `name:"json" help:"Print a JSON array."`
}

// Run lists open imports.
func (c *listCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	if c.Limit < 0 {
		s.Problem("--limit is %d: want a positive number, or 0 for all", c.Limit)
	}
	checkAccount(&s, c.Account)
	temporal, err := connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	reader := &overview.Reader{Temporal: temporal, Account: c.Account}
	if !c.NeedsAttention {
		return c.listOpen(ctx, reader, streams)
	}
	var waiting []overview.WaitingForToken
	if !c.JSON {
		reader.GroupByAccount = c.Account == ""
		if waiting, err = reader.WaitingForToken(ctx); err != nil {
			return err
		}
	}
	for _, each := range waiting {
		fmt.Fprintf(streams.Out, "%s: %s\n", plain(each.String()), idList(each.Jobs))
	}
	imports, unknown, err := reader.NeedingAttention(ctx)
	if err != nil {
		return err
	}
	if len(imports)+len(waiting)+unknown == 0 {
		fmt.Fprintln(streams.Err, "no open import needs attention")
	}
	if len(imports) > 0 || c.JSON {
		if err := printImports(streams.Out, imports, c.JSON); err != nil {
			return err
		}
	}
	switch {
	case len(imports)+len(waiting) > 0:
		return program.ErrNeedsAttention
	case unknown > 0:
		return fmt.Errorf("%s may need attention: no worker answers", english.Plural(unknown, "open import", ""))
	}
	return nil
}

// listOpen lists open imports, newest first.
func (c *listCommand) listOpen(ctx context.Context, reader *overview.Reader, streams program.Streams) error {
	var imports []overview.Import
	more := false
	for token := []byte(nil); ; {
		size := listPage
		if c.Limit > 0 {
			size = min(size, c.Limit-len(imports))
		}
		page, next, err := reader.Open(ctx, size, token)
		if err != nil {
			return err
		}
		imports = append(imports, page...)
		if token = next; len(token) == 0 {
			break
		}
		if more = c.Limit > 0 && len(imports) >= c.Limit; more {
			break
		}
	}
	if err := printImports(streams.Out, imports, c.JSON); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(streams.Err, program.Commands("there may be more: starter list --limit 0"))
	}
	return nil
}

// importView is an import as --json prints it.
type importView struct {
	overview.Import
	NeedsAttention bool             `json:"needs_attention"`
	Amount         *overview.Amount `json:"amount,omitempty"`
	Next           string           `json:"next"`
	// Commands are those that have an effect now.
	Commands []string `json:"commands,omitempty"`
}

func viewOf(i overview.Import, now time.Time) importView {
	view := importView{Import: i, NeedsAttention: i.NeedsAttention(), Next: program.Commands(i.Next().In(now))}
	if amount, ok := i.Amount(); ok {
		view.Amount = &amount
	}
	for _, each := range commandsFor(i) {
		view.Commands = append(view.Commands, program.Commands(each.line))
	}
	return view
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func printImports(out io.Writer, imports []overview.Import, asJSON bool) error {
	now := time.Now()
	if asJSON {
		views := make([]importView, 0, len(imports))
		for _, each := range imports {
			views = append(views, viewOf(each, now))
		}
		return printJSON(out, views)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	column := accountColumn(imports, overview.Import.NamedAccount)
	fmt.Fprintf(table, "JOB\t%sSITEMAP\tSTEP\tRECORDS\tSTARTED\tNEXT\n", column("ACCOUNT"))
	for _, i := range imports {
		next := i.Next().In(now)
		if amount, done, ok := i.Estimate(now); ok && amount.Unit == overview.Pages {
			next = done + "; " + next
		}
		if i.NeedsAttention() {
			next = i.Progress.Attention
		}
		if problem := i.Problem(); problem != "" {
			next += "; not done: " + problem
		}
		records := "-"
		if counts := i.Published(); counts != nil && !i.Importing() {
			records = fmt.Sprint(counts.Records)
		}
		fmt.Fprintf(table, "%d\t%s%s\t%s\t%s\t%s\t%s\n", i.ScrapingJobID, column(i.Account), plain(i.Sitemap()), i.Step(), records,
			i.StartedAt.Local().Format(time.DateTime), plain(next))
	}
	return table.Flush()
}

// shownIDs is how many IDs a line shows.
const shownIDs = 10

// idList returns the first IDs: "1 2 3 and 4 more".
func idList(ids []int64) string {
	text := strings.Trim(fmt.Sprint(ids[:min(len(ids), shownIDs)]), "[]")
	if more := len(ids) - shownIDs; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// accountColumn returns a function that writes the cells of an account column. It writes
// none if all rows have the default account.
func accountColumn[R any](rows []R, named func(R) string) func(cell string) string {
	if !slices.ContainsFunc(rows, func(row R) bool { return named(row) != "" }) {
		return func(string) string { return "" }
	}
	return func(cell string) string { return cell + "\t" }
}

// checkAccount reports an invalid --account to s.
func checkAccount(s *program.Settings, account string) {
	if account != "" {
		s.Check(validate.Account("--account", account))
	}
}
