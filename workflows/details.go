package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/workflow"
)

// show tells whoever looks where the import is: the progress query, and the
// current details in the Temporal UI (tab "User Metadata"), which are Markdown.
func (w *importScrapingJob) show(ctx workflow.Context, step Step, note string) {
	w.progress.Step, w.progress.Signals = step, w.signalsIn(step)
	w.index(ctx, step)
	workflow.SetCurrentDetails(ctx, w.details(step, note))
}

// details are short lines in two tables: the UI gives them half of its window,
// and a list right below a line of text would run on with it.
func (w *importScrapingJob) details(step Step, note string) string {
	if step == StepNeedsAttention {
		note, _, _ = strings.Cut(w.progress.Attention, " Signals: ") // they are in a table of their own
	}
	var text strings.Builder
	fmt.Fprintf(&text, "**%s**", step)
	if note != "" {
		fmt.Fprintf(&text, ": %s", escape(note))
	}
	text.WriteString("\n")
	table := rows{&text}
	table.begin()
	if w.progress.SitemapName != "" {
		table.add("sitemap", escape(w.progress.SitemapName))
		job := escape(w.progress.Status)
		if w.progress.StoredRecordCount > 0 || step != StepDownload { // which finds out
			job += ", with " + records(w.progress.StoredRecordCount)
		}
		table.add("job", job)
	}
	table.add("published", w.published())
	if w.progress.Rejected > 0 {
		table.add("rejected", humanize.Comma(w.progress.Rejected)+", see `scrapehaul.rejected_records`")
	} else {
		table.add("rejected", "0")
	}
	if w.progress.Skipped > 0 {
		table.add("skipped", humanize.Comma(w.progress.Skipped)+", see `scrapehaul.skipped_records`")
	}
	if w.progress.Problem != "" {
		table.add("not done", escape(w.progress.Problem))
	}
	if step == StepDone && w.result.Reason != "" {
		table.add("because", escape(w.result.Reason))
	}
	if step == StepDownload || step == StepImport {
		table.add("progress", "heartbeats, see Pending Activities")
	}
	if next := w.next(step); next != "" {
		table.add("next", escape(next))
	}
	if len(w.progress.Signals) > 0 {
		text.WriteString("\nSignals that make sense now, without input:\n")
		table.begin()
		for _, signal := range w.progress.Signals {
			table.add("`"+signal+"`", SignalMeaning(signal))
		}
	}
	text.WriteString(mayBeCut)
	return text.String()
}

// mayBeCut are two empty lines: the UI (2.42) shows details in a frame that is
// too low by that much.
const mayBeCut = "\n\u00a0\n\n\u00a0\n"

// published says what the view shows of the job.
func (w *importScrapingJob) published() string {
	if w.importID == 0 {
		return "nothing yet"
	}
	return fmt.Sprintf("%s, from a file of %s", records(w.progress.Records), humanize.Bytes(uint64(w.result.Bytes)))
}

// next says what happens next by itself, and when where that is known.
func (w *importScrapingJob) next(step Step) string {
	switch step {
	case StepDownload:
		return "its records are imported"
	case StepImport:
		return "its records are published in one step"
	case StepHold:
		return "deleted in the cloud after " + moment(w.heldUntil)
	case StepDelete:
		return "the import is done"
	case StepNeedsAttention:
		return "fails after " + moment(*w.progress.FailsAfter) + " without a signal"
	}
	return ""
}

// rows writes tables of two columns without a heading.
type rows struct{ to *strings.Builder }

func (r rows) begin() { r.to.WriteString("\n| | |\n|---|---|\n") }

// add keeps the columns apart by a wide space: the UI does not.
func (r rows) add(name, value string) { fmt.Fprintf(r.to, "| %s\u2003 | %s |\n", name, value) }

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return humanize.Comma(n) + " records"
}

// moment is a time, to the minute.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

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

// escape keeps a text that comes from outside, such as a sitemap's name, from
// being read as Markdown or HTML, or from breaking the table.
func escape(s string) string {
	return strings.NewReplacer("\n", " ", "\r", " ", "|", `\|`, `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`,
		"[", `\[`, "]", `\]`, "&", `\&`, "<", `\<`, ">", `\>`, "~", `\~`).Replace(s)
}
