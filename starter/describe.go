package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// printImport prints everything about one import.
func printImport(out io.Writer, i overview.Import, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	row("scraping job", "%d", i.ScrapingJobID)
	if account := i.NamedAccount(); account != "" {
		row("account", "%s", account)
	}
	if i.Progress.SitemapName != "" {
		row("sitemap", "%s", i.Progress.SitemapName)
	} else if i.Summary != "" {
		row("summary", "%s", i.Summary)
	}
	if i.Progress.Status != "" {
		name, status := "reported", i.Progress.Status
		if i.InCloud() {
			name = "in the cloud"
		}
		if stored := i.StoredRecords(); stored != nil {
			status += fmt.Sprintf(", %d records stored", *stored)
		}
		if i.Result != nil && i.Result.Outcome == workflows.Deleted {
			status = "deleted, was " + status
		}
		row(name, "%s", status)
	}
	step := i.Step()
	if i.Open && !i.ProgressKnown {
		step += ": " + i.Failure
	}
	row("step", "%s", step)
	if i.NeedsAttention() {
		row("kind", "%s", i.Kind)
		row("problem", "%s", i.Progress.Attention)
	}
	if i.Failure != "" && !i.Open {
		row("reason", "%s", i.Failure)
	}
	printPublished(row, i)
	printActivity(row, i, now)
	ran := fmt.Sprintf("%s, started %s", i.Status, i.StartedAt.In(now.Location()).Format(time.DateTime))
	if i.ClosedAt != nil {
		ran += ", ended " + i.ClosedAt.In(now.Location()).Format(time.DateTime)
	}
	row("workflow", "run %s, %s", i.RunID, ran)
	row("next", "%s", i.Next().In(now))
	for n, each := range commandsFor(i) {
		name := ""
		if n == 0 {
			name = "you can"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, program.Commands(each.line), each.meaning)
	}
	return table.Flush()
}

func printPublished(row func(name, format string, args ...any), i overview.Import) {
	if counts := i.Published(); counts != nil {
		name := "published"
		if i.Importing() && *counts != (sink.Counts{}) {
			name = "published before"
		}
		row(name, "%s", published(*counts))
	}
	if i.Result != nil {
		row("outcome", "%s", i.Result.Outcome)
		if i.Result.Reason != "" {
			row("reason", "%s", i.Result.Reason)
		}
	}
	if problem := i.Problem(); problem != "" {
		row("not done", "%s", problem)
	}
}

func published(n sink.Counts) string {
	text := fmt.Sprintf("%d records, %d rejected", n.Records, n.Rejected)
	if n.Cut > 0 {
		text += fmt.Sprintf(" (%d kept only in part)", n.Cut)
	}
	if n.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", n.Skipped)
	}
	if n.Unmapped > 0 {
		text += fmt.Sprintf(", %d without a row in the mapped table", n.Unmapped)
	}
	return text
}

func printActivity(row func(name, format string, args ...any), i overview.Import, now time.Time) {
	if _, done, ok := i.Estimate(now); ok {
		row("progress", "%s", done)
	}
	a := i.Activity
	if a == nil {
		return
	}
	text := fmt.Sprintf("%s, attempt %d", a.Name, a.Attempt)
	if a.StartedAt != nil {
		text += ", for " + since(*a.StartedAt, now)
	}
	if a.StartedAt != nil && a.LastHeartbeat != nil {
		text += ", last heartbeat " + since(*a.LastHeartbeat, now) + " ago"
	}
	row("activity", "%s", text)
	if a.LastFailure != "" {
		row("last failure", "%s", a.LastFailure)
	}
}

func since(t, now time.Time) string { return max(now.Sub(t), 0).Round(time.Second).String() }

// command is a command that has an effect in the import's current state.
type command struct {
	line, meaning string
}

func commandsFor(i overview.Import) []command {
	switch {
	case i.Result != nil && (i.Result.Outcome == workflows.NotFound || i.Result.Outcome == workflows.StillRunning):
		return nil
	case i.Result != nil && i.Result.Outcome == workflows.Deleted:
		return []command{{i.ReimportCommand(), "imports the job again from the archive, if there is one"}}
	case !i.Open:
		return []command{{i.ReimportCommand(), workflows.SignalMeaning(workflows.ReimportSignal)}}
	}
	var commands []command
	for _, signal := range i.Progress.Signals {
		commands = append(commands, command{fmt.Sprintf("starter signal %d %s", i.ScrapingJobID, signal), i.Progress.Meaning(signal)})
	}
	return commands
}

// plain removes control characters, so that outside text, such as a sitemap's name, cannot
// control the terminal or break the table. Commands in the text get the programs' names.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, program.Commands(s))
}
