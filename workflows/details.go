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
	if next != "" {
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
	if step != StepDone {
		text.WriteString("\nSignal `reimport` (no input) downloads and imports again.\n")
	}
	workflow.SetCurrentDetails(ctx, text.String())
}

// escapeCell keeps a sitemap's name from breaking the table.
func escapeCell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}
