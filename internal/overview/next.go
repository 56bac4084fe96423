package overview

import (
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// Next says in a few words what happens next to the import, and when that is
// known, in now's time zone.
func (i Import) Next(now time.Time) string {
	switch {
	case i.Result != nil:
		return "nothing: this import is done"
	case !i.Open:
		return "nothing by this run: reconciliation begins another one if the job is due"
	case i.NeedsAttention():
		next := "a person decides; without a signal in time the import fails"
		if i.Progress.FailsAfter != nil {
			next += " " + when(*i.Progress.FailsAfter, now)
		}
		return next
	case i.Activity != nil:
		if next := i.Activity.next(now); next != "" {
			return next
		}
	}
	if !i.ProgressKnown {
		return "it goes on as soon as a worker is there"
	}
	switch i.Progress.Step {
	case workflows.StepDownload:
		return "the records are imported"
	case workflows.StepImport:
		return "the import is published, in place of an earlier one"
	case workflows.StepHold:
		if i.Progress.DeleteAfter != nil {
			return "the job is deleted in the cloud " + when(*i.Progress.DeleteAfter, now)
		}
		return "the job is deleted in the cloud"
	case workflows.StepDelete:
		return "the import is done"
	}
	return "the import goes on by itself"
}

// next says what the activity waits for, or "" while it is at work.
func (a *Activity) next(now time.Time) string {
	switch {
	case a.Paused:
		return "nothing before somebody unpauses the activity " + a.Name
	case a.NextAttempt != nil:
		return fmt.Sprintf("attempt %d of %s begins %s", a.Attempt, a.Name, when(*a.NextAttempt, now))
	case a.StartedAt == nil:
		return fmt.Sprintf("a worker takes up %s", a.Name)
	case a.Heartbeat.Waiting:
		return "the worker begins as soon as it has a slot free (MAX_CONCURRENT_IMPORTS)"
	}
	return ""
}

func when(at, now time.Time) string {
	in := at.Sub(now).Round(time.Second)
	if in <= 0 {
		return "now"
	}
	return fmt.Sprintf("at %s, in %s", at.In(now.Location()).Format(time.DateTime), in)
}
