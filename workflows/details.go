package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"
)

// show tells whoever looks where the import is: the progress query, and the
// details in the Temporal UI.
func (w *importScrapingJob) show(ctx workflow.Context, step Step, next string) {
	w.progress.Step, w.progress.Signals = step, w.signalsIn(step)
	w.index(ctx, step)
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
	if len(w.progress.Signals) > 0 {
		text.WriteString("\nSignals, without input:\n")
		for _, signal := range w.progress.Signals {
			fmt.Fprintf(&text, "- `%s` %s\n", signal, SignalMeaning(signal))
		}
	}
	workflow.SetCurrentDetails(ctx, text.String())
}

// signalsIn are the signals that make sense in a step.
func (w *importScrapingJob) signalsIn(step Step) []string {
	switch step {
	case StepDone:
		return nil
	case StepNeedsAttention:
		return w.answers
	case StepHold:
		return []string{DeleteNowSignal, KeepSignal, AbandonSignal, ReimportSignal}
	default:
		return []string{ReimportSignal}
	}
}

// SignalMeaning says in a few words what a signal does, or "" if it is none for
// a person.
func SignalMeaning(signal string) string {
	switch signal {
	case ReimportSignal:
		return "downloads and imports again, replacing the records"
	case AcceptSignal:
		return "goes on all the same, deletion in the cloud included"
	case DeleteNowSignal:
		return "ends the hold: the job is deleted in the cloud now"
	case KeepSignal:
		return "closes the import; the job stays in the cloud for good"
	case AbandonSignal:
		return "gives the import up; the job stays in the cloud"
	}
	return ""
}

// escapeCell keeps a sitemap's name from breaking the table.
func escapeCell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}
