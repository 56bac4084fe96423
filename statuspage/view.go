package statuspage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importView is a run of an import, for the templates.
type importView struct {
	overview.Import
	// Text is the reason for attention, the result, or why the progress is unknown.
	Text     string
	Next     overview.Next
	Progress *progressView
	Actions  []action
	UI       string // of the run in the Temporal UI, or ""
	// Seen identifies the state that a signal answers.
	Seen string
}

// Waits reports whether nothing changes until a signal arrives or a time is reached: the
// page shows the signals as buttons and does not reload.
func (v importView) Waits() bool {
	return v.NeedsAttention() || v.Import.Progress.Step == workflows.StepHold
}

// CanReimport reports whether the import has ended and its job may still be there.
func (v importView) CanReimport() bool {
	return !v.Open && (v.Result == nil || v.Result.Outcome != workflows.NotFound)
}

// Step returns what the import is doing, in words.
func (v importView) Step() string { return strings.ReplaceAll(v.Import.Step(), "-", " ") }

type progressView struct {
	overview.Amount
	Text string
}

// action is a signal that has an effect now.
type action struct {
	Signal, Label, Meaning string
	// Confirm is set if the page asks for confirmation.
	Confirm bool
}

// offered are all signals of an operator. Those that can be undone come first; the others
// delete in the cloud, or abandon.
var offered = []action{
	{Signal: workflows.ReimportSignal, Label: "Re-import"},
	{Signal: workflows.KeepSignal, Label: "Keep"},
	{Signal: workflows.AcceptSignal, Label: "Accept", Confirm: true},
	{Signal: workflows.DeleteNowSignal, Label: "Delete now", Confirm: true},
	{Signal: workflows.AbandonSignal, Label: "Abandon", Confirm: true},
}

// label returns the signal's label, "" for an unknown signal.
func label(signal string) string {
	for _, each := range offered {
		if each.Signal == signal {
			return each.Label
		}
	}
	return ""
}

// actions returns the signals that have an effect now.
func actions(i overview.Import) (all []action) {
	for _, each := range offered {
		if i.Open && i.ProgressKnown && slices.Contains(i.Progress.Signals, each.Signal) {
			each.Meaning = i.Progress.Meaning(each.Signal)
			all = append(all, each)
		}
	}
	return all
}

// seen identifies the state that a signal answers: the problem and the published counts, as
// shown.
func (h *handler) seen(i overview.Import) string {
	return h.credentials.sign("seen", fmt.Sprintf("%s %d %d %s", i.RunID, i.Progress.Records, i.Progress.Rejected, i.Progress.Attention))
}

func (h *handler) viewImports(imports []overview.Import, now time.Time) []importView {
	views := make([]importView, 0, len(imports))
	for _, each := range imports {
		views = append(views, h.viewImport(each, now))
	}
	return views
}

func (h *handler) viewImport(i overview.Import, now time.Time) importView {
	v := importView{
		Import: i, Text: text(i), Actions: actions(i), UI: h.temporalUI(i.ScrapingJobID, i.RunID), Seen: h.seen(i),
	}
	if i.Open {
		v.Next = i.Next()
	}
	if amount, text, ok := i.Estimate(now); ok {
		v.Progress = &progressView{amount, text}
	}
	return v
}

// text omits the signals that the workflow lists: the page has buttons.
func text(i overview.Import) string {
	switch {
	case !i.Open && i.Result != nil:
		outcome := string(i.Result.Outcome)
		if i.Result.Reason != "" {
			outcome += ": " + i.Result.Reason
		}
		return outcome
	case !i.Open || !i.ProgressKnown:
		return i.Failure
	}
	problem, _, _ := strings.Cut(i.Progress.Attention, ". Signals:")
	return problem
}

// temporalUI returns the address of a run in the Temporal UI.
func (h *handler) temporalUI(scrapingJobID int64, runID string) string {
	if h.options.TemporalUIURL == "" || runID == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%d/%s/history", h.options.TemporalUIURL, h.options.Namespace, scrapingJobID, runID)
}

// split divides open imports into those that need attention, those held before deletion,
// and the rest.
func split(views []importView) (attention, held, running []importView) {
	for _, v := range views {
		switch {
		case v.NeedsAttention():
			attention = append(attention, v)
		case v.Import.Progress.Step == workflows.StepHold:
			held = append(held, v)
		default:
			running = append(running, v)
		}
	}
	// The next to be deleted comes first.
	slices.SortStableFunc(held, func(a, b importView) int { return a.deleteAfter().Compare(b.deleteAfter()) })
	return attention, held, running
}

// deleteAfter returns when the hold ends, zero if unknown.
func (v importView) deleteAfter() time.Time {
	if v.Import.Progress.DeleteAfter == nil {
		return time.Time{}
	}
	return *v.Import.Progress.DeleteAfter
}
