package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"
)

// show tells whoever looks where the import is: the progress query, and the
// details in the Temporal UI.
func (w *importScrapingJob) show(ctx workflow.Context, step Step, next string) {
	w.progress.Step = step
	var text strings.Builder
	fmt.Fprintf(&text, "**%s**", step)
	switch {
	case step == StepNeedsAttention:
		fmt.Fprintf(&text, ": %s", w.progress.Attention)
	case next != "":
		fmt.Fprintf(&text, ": %s", next)
	}
	text.WriteString("\n\n| | |\n|---|---|\n")
	row := func(name string, value any) { fmt.Fprintf(&text, "| %s | %v |\n", name, value) }
	if w.progress.SitemapName != "" {
		row("sitemap", escapeCell(w.progress.SitemapName))
		row("status in the cloud", escapeCell(w.progress.Status))
		row("records in the cloud", w.progress.StoredRecordCount)
	}
	row("records published", w.progress.Records)
	row("rejected", w.progress.Rejected)
	if w.result.Reason != "" {
		row("because", escapeCell(w.result.Reason))
	}
	if signals := signalsIn(step); signals != "" {
		fmt.Fprintf(&text, "\nSignals, without input: %s.\n", signals)
	}
	workflow.SetCurrentDetails(ctx, text.String())
}

// signalsIn says which signals make sense in a step; what needs attention says
// so itself.
func signalsIn(step Step) string {
	switch step {
	case StepDone, StepNeedsAttention:
		return ""
	case StepHold:
		return "`delete-now` ends the hold; `keep` and `abandon` close the import without deleting; `reimport` downloads and imports again"
	default:
		return "`reimport` downloads and imports again"
	}
}

// escapeCell keeps a sitemap's name from breaking the table.
func escapeCell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}
