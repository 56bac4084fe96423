package statuspage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importView is one run of an import as the templates show it.
type importView struct {
	overview.Import
	// Says is the reason for attention, the result, or why nothing is known.
	Says     string
	Next     overview.Next
	Progress *progressView
	Actions  []action
	UI       string // of the run in the Temporal UI, or ""
	// Seen stands for what a person answers.
	Seen string
}

// Waits says whether nothing moves until a person answers or time passes, so
// that the page shows the answers at once and does not reload by itself.
func (v importView) Waits() bool {
	return v.NeedsAttention() || v.Import.Progress.Step == workflows.StepHold
}

// Step is what the import is doing, in words.
func (v importView) Step() string { return strings.ReplaceAll(v.Import.Step(), "-", " ") }

type progressView struct {
	overview.Amount
	Text string
}

// action is a signal that makes sense now.
type action struct {
	Signal, Label, Meaning string
	// Confirm is set when a person is asked once more.
	Confirm bool
}

// offered are all signals of a person, those first that are easily mended. The others
// delete in the cloud, or give up.
var offered = []action{
	{Signal: workflows.ReimportSignal, Label: "Re-import"},
	{Signal: workflows.KeepSignal, Label: "Keep"},
	{Signal: workflows.AcceptSignal, Label: "Accept", Confirm: true},
	{Signal: workflows.DeleteNowSignal, Label: "Delete now", Confirm: true},
	{Signal: workflows.AbandonSignal, Label: "Abandon", Confirm: true},
}

// label is the signal's, "" if there is none of that name.
func label(signal string) string {
	for _, each := range offered {
		if each.Signal == signal {
			return each.Label
		}
	}
	return ""
}

// actions are the signals that a person may send now.
func actions(i overview.Import) (all []action) {
	for _, each := range offered {
		if i.Open && i.ProgressKnown && slices.Contains(i.Progress.Signals, each.Signal) {
			each.Meaning = i.Progress.Meaning(each.Signal)
			all = append(all, each)
		}
	}
	return all
}

// seen stands for what a signal answers: the problem, and what is published, as
// they were shown.
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
		Import: i, Says: says(i), Actions: actions(i), UI: h.temporalUI(i.ScrapingJobID, i.RunID), Seen: h.seen(i),
	}
	if i.Open {
		v.Next = i.Next()
	}
	if amount, text, ok := i.Estimate(now); ok {
		v.Progress = &progressView{amount, text}
	}
	return v
}

// says leaves out the signals that the workflow lists: here they are buttons.
func says(i overview.Import) string {
	switch {
	case !i.Open && i.Result != nil:
		text := string(i.Result.Outcome)
		if i.Result.Reason != "" {
			text += ": " + i.Result.Reason
		}
		return text
	case !i.Open || !i.ProgressKnown:
		return i.Failure
	}
	problem, _, _ := strings.Cut(i.Progress.Attention, ". Signals:")
	return problem
}

// temporalUI is where the Temporal UI shows a run.
func (h *handler) temporalUI(scrapingJobID int64, runID string) string {
	if h.options.TemporalUIURL == "" || runID == "" {
		return ""
	}
	return fmt.Sprintf("%s/namespaces/%s/workflows/%d/%s/history", h.options.TemporalUIURL, h.options.Namespace, scrapingJobID, runID)
}

// split divides open imports into those that need attention, those that are held
// until their deletion, and the rest.
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

// deleteAfter is when the hold ends; zero if that is not known.
func (v importView) deleteAfter() time.Time {
	if v.Import.Progress.DeleteAfter == nil {
		return time.Time{}
	}
	return *v.Import.Progress.DeleteAfter
}
