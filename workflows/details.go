package workflows

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
)

func (w *importScrapingJob) result() ImportScrapingJobResult {
	return ImportScrapingJobResult{
		ScrapingJobID: w.id,
		Account:       w.account,
		Counts:        w.published.Counts,
		Bytes:         w.published.Bytes,
		SHA256:        w.published.SHA256,
		Outcome:       w.outcome,
		Reason:        w.reason,
		Problem:       w.published.Problem,
	}
}

func (w *importScrapingJob) progress() (Progress, error) {
	p := Progress{
		ScrapingJobID:     w.id,
		Account:           w.account,
		SitemapName:       w.job.SitemapName,
		Status:            w.job.Status,
		Step:              w.step,
		Described:         w.described(),
		ImportID:          w.published.ImportID,
		StoredRecordCount: w.job.StoredRecordCount,
		JobsExecuted:      w.job.JobsExecuted,
		JobsScheduled:     w.job.JobsScheduled,
		Counts:            w.published.Counts,
		Problem:           w.published.Problem,
		Signals:           w.signalsInStep(),
	}
	switch {
	case w.question.problem != nil:
		p.Attention = w.question.text()
		if !w.question.deadline.IsZero() { // else a notification arrived, and the question is asked again soon
			p.FailsAfter = &w.question.deadline
		}
		p.Accept = w.question.accept
		p.SkippedIfClosed = w.unpublished()
	case w.step == StepHold:
		p.DeleteAfter = &w.published.HeldUntil
	}
	if w.waitsFor != "" {
		p.WaitsFor, p.WaitsUntil = w.waitsFor, &w.waitsUntil
	}
	return p, nil
}

// show sets the step in the progress query and in the current details of the Temporal
// UI (tab "User Metadata"), which are Markdown.
func (w *importScrapingJob) show(ctx workflow.Context, step Step, note string) {
	w.index(ctx, step)
	w.step = step
	workflow.SetCurrentDetails(ctx, w.details(note))
}

// details are short lines in two tables: the UI gives them half of its window, and
// would join a list to the line of text above it.
func (w *importScrapingJob) details(note string) string {
	switch {
	case w.question.problem != nil:
		note = Sentence(w.question.problem) + "."
	case w.waitsFor != "":
		until := ", until "
		if w.step == StepScrape {
			until = "; checks again at "
		}
		note = "waits for " + w.waitsFor + until + w.waitsUntil.UTC().Format("15:04:05 UTC")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "**%s**", w.step)
	if note != "" {
		fmt.Fprintf(&text, ": %s", escape(note))
	}
	text.WriteString("\n")
	table := rows{&text}
	table.begin()
	if sink.IsNamed(w.account) {
		table.add("account", w.account)
	}
	if w.job.SitemapName != "" {
		table.add("sitemap", escape(w.job.SitemapName))
		job := escape(w.job.Status)
		if w.job.StoredRecordCount > 0 || w.step != StepDownload { // which finds out the count
			job += ", " + records(w.job.StoredRecordCount)
		}
		if w.step == StepScrape {
			job += fmt.Sprintf(", %s of %s pages", humanize.Comma(w.job.JobsExecuted), humanize.Comma(w.job.JobsScheduled))
		}
		table.add("job", job)
	}
	if w.described() {
		table.add("published", w.published.summary())
	}
	cut := ""
	if w.published.Cut > 0 {
		cut = ", " + humanize.Comma(w.published.Cut) + " of them kept only in part"
	}
	if w.published.ImportID != 0 && w.published.Rejected == 0 {
		table.add("rejected", "0")
	}
	table.count("rejected", w.published.Rejected, cut)
	table.count("skipped", w.published.Skipped, "")
	table.count("unmapped", w.published.Unmapped, "")
	table.add("problem", escape(w.published.Problem))
	if w.step == stepDone {
		table.add("reason", escape(w.reason))
	}
	if (w.step == StepDownload || w.step == StepImport) && w.waitsFor == "" {
		table.add("progress", "see the heartbeat under Pending Activities")
	}
	table.add("next", escape(w.next()))
	if signals := w.signalsInStep(); len(signals) > 0 {
		text.WriteString("\nSignals you can send now, without input:\n")
		table.begin()
		now, _ := w.progress()
		for _, signal := range signals {
			table.add("`"+signal+"`", escape(now.Meaning(signal)))
		}
	}
	text.WriteString(mayBeCut)
	return text.String()
}

// mayBeCut is two empty lines: the UI (2.42) cuts that much off the end of details.
const mayBeCut = "\n\u00a0\n\n\u00a0\n"

func (p published) summary() string {
	if p.ImportID == 0 {
		return "nothing yet"
	}
	return fmt.Sprintf("%s from a file of %s", records(p.Records), humanize.Bytes(uint64(p.Bytes)))
}

// next is what happens next without a signal, and when, if that is known.
func (w *importScrapingJob) next() string {
	switch w.step {
	case StepScrape:
		return "the records are imported when the job ends"
	case StepDownload:
		return "the records are imported"
	case StepImport:
		return "the records are published in one transaction"
	case StepHold:
		return "the job is deleted in the cloud after " + moment(w.published.HeldUntil)
	case StepDelete:
		return "the import ends"
	case StepNeedsAttention:
		return "without a signal, the import fails after " + moment(w.question.deadline)
	}
	return ""
}

// rows writes two-column tables without a header.
type rows struct{ to *strings.Builder }

func (r rows) begin() { r.to.WriteString("\n| | |\n|---|---|\n") }

// add writes a row, unless the value is empty. The wide space separates the columns, which
// the UI does not.
func (r rows) add(name, value string) {
	if value != "" {
		fmt.Fprintf(r.to, "| %s\u2003 | %s |\n", name, value)
	}
}

// count adds the number of records of a kind, if any, and the view that has them.
func (r rows) count(kind string, n int64, note string) {
	if n > 0 {
		r.add(kind, humanize.Comma(n)+note+", see `scrapehaul."+kind+"_records`")
	}
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return humanize.Comma(n) + " records"
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// escape keeps outside text, such as a sitemap's name, from being read as Markdown or
// HTML, or from breaking the table.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("\n", " ", "\r", " ", "|", `\|`, `\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`,
	"[", `\[`, "]", `\]`, "&", `\&`, "<", `\<`, ">", `\>`, "~", `\~`)
