package overview

import (
	"fmt"
	"slices"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Next describes what happens next to an import.
type Next struct {
	What string
	// At is when it happens, or until when the import waits at most; nil if unknown.
	At *time.Time
	// Waits is set if What is a wait: At is its end.
	Waits bool
	// AttentionAt is about when the import needs attention at the latest if all attempts
	// fail; nil if unknown.
	AttentionAt *time.Time
}

// Preposition returns the word between What and At.
func (n Next) Preposition() string {
	if n.Waits {
		return "until"
	}
	return "at"
}

// In returns one line, with the time in now's time zone.
func (n Next) In(now time.Time) string {
	if n.At == nil {
		return n.What
	}
	in := n.At.Sub(now).Round(time.Second)
	switch {
	case in <= 0 && n.Waits:
		return n.What
	case in <= 0:
		return n.What + " now"
	}
	at, layout := n.At.In(now.Location()), time.DateTime
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		layout = time.TimeOnly
	}
	text := fmt.Sprintf("%s %s %s, in %s", n.What, n.Preposition(), at.Format(layout), in)
	if n.AttentionAt != nil {
		text += "; the import needs attention by " + n.AttentionAt.In(now.Location()).Format("15:04") + " at the latest if it keeps failing"
	}
	return text
}

// Next returns what happens next to the import.
func (i Import) Next() Next {
	switch {
	case i.Result != nil && i.Result.Outcome == workflows.StillRunning:
		return Next{What: fmt.Sprintf("nothing in this run: once the job has ended, its notification, reconciliation if it is on, or starter import %d starts another one", i.ScrapingJobID)}
	case i.Result != nil:
		return Next{What: "nothing: this import is done"}
	case !i.Open:
		return Next{What: "nothing in this run: reconciliation, if it is on, starts another one if the job is due"}
	case i.NeedsAttention() && workflows.Retryable(i.Kind):
		return Next{What: fmt.Sprintf("reconciliation or starter import %d retries it; without either, the import fails", i.ScrapingJobID), At: i.Progress.FailsAfter}
	case i.NeedsAttention():
		return Next{What: "an operator decides; without a signal, the import fails", At: i.Progress.FailsAfter}
	case i.Progress.Step == workflows.StepScrape && i.Progress.WaitsFor != "":
		return Next{What: "waits for " + i.Progress.WaitsFor + "; checks again", At: i.Progress.WaitsUntil}
	case i.Progress.WaitsFor != "":
		return Next{What: "waits for " + i.Progress.WaitsFor, At: i.Progress.WaitsUntil, Waits: true}
	case i.Activity != nil:
		if next := i.Activity.next(); next.What != "" {
			return next
		}
	}
	if !i.ProgressKnown {
		return Next{What: "it continues once a worker is running"}
	}
	switch i.Progress.Step {
	case workflows.StepScrape:
		return Next{What: "the records are imported when the job ends"}
	case workflows.StepDownload:
		return Next{What: "the records are imported"}
	case workflows.StepImport:
		if i.Progress.Counts != (sink.Counts{}) {
			return Next{What: "the import is published once all records are in, replacing the earlier one"}
		}
		return Next{What: "the import is published once all records are in"}
	case workflows.StepHold:
		return Next{What: "the job is deleted in the cloud", At: i.Progress.DeleteAfter}
	case workflows.StepDelete:
		return Next{What: "the import is done"}
	}
	return Next{What: "the import continues on its own"}
}

// next returns what the activity waits for, or nothing while it runs.
func (a *Activity) next() Next {
	switch {
	case a.Paused:
		return Next{What: "nothing until someone unpauses the activity " + a.Name}
	case a.NextAttempt != nil:
		return Next{What: fmt.Sprintf("attempt %d of %s starts", a.Attempt, a.Name), At: a.NextAttempt, AttentionAt: a.attentionAt()}
	case a.WorkerUntil != nil:
		return Next{What: fmt.Sprintf("the worker that has the file picks up %s; without that worker, the import continues", a.Name), At: a.WorkerUntil}
	case a.StartedAt == nil && a.Name == download:
		return Next{What: "a worker picks up " + download + " once it has a free slot (MAX_CONCURRENT_IMPORTS) and room in its spool"}
	case a.StartedAt == nil:
		return Next{What: "a worker picks up " + a.Name}
	case a.Heartbeat.Waiting:
		return Next{What: "the worker starts once it has a free slot (MAX_CONCURRENT_IMPORTS)"}
	}
	return Next{}
}

// attentionAt returns about when the last attempt starts, nil if its failure asks nobody.
// Some failures ask earlier.
func (a *Activity) attentionAt() *time.Time {
	if a.MaxAttempts == 0 || !slices.Contains([]string{download, "ImportRecords", "DeleteScrapingJob"}, a.Name) {
		return nil
	}
	at := workflows.RetriesEndAt(*a.NextAttempt, a.Attempt, a.MaxAttempts)
	return &at
}
