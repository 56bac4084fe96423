package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// What an import waits for by itself, for people to see.
const (
	waitForCalls = "the API's limit of calls"
	waitForEnd   = "Web Scraper Cloud to say that the job has ended"
	waitForCalm  = "more notifications"
)

const (
	// Between two looks for what has changed: the longest time for which no signal may
	// come, and the longest time at all.
	maxCalm          = 15 * time.Second
	maxBetweenChecks = time.Minute
	// Limits of the time between two looks at a job that is being scraped.
	minBetweenLooks = 30 * time.Second
	maxBetweenLooks = 15 * time.Minute
)

// waits reports whether the run waits by itself: runs that earlier builds have begun
// do not.
func waits(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "waits", workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

// awaitShown waits until there is something, or for so long, and shows what for.
func (w *importScrapingJob) awaitShown(ctx workflow.Context, wait time.Duration, what string, something func() bool) error {
	if something() {
		return nil
	}
	w.waitsFor, w.waitsUntil = what, workflow.Now(ctx).Add(wait)
	w.show(ctx, w.step, "")
	err := await(ctx, wait, "waiting for "+what, something)
	w.waitsFor = ""
	w.show(ctx, w.step, "")
	return err
}

// awaitCalls waits for calls of the API, which have been promised after that time, or
// until a person wants something else.
func (w *importScrapingJob) awaitCalls(ctx workflow.Context, wait time.Duration, wanted func() bool) error {
	err := w.awaitShown(ctx, wait, waitForCalls, func() bool {
		w.takeSignals(ctx)
		return wanted()
	})
	w.takeSignals(ctx) // those that have come with the end
	return err
}

// awaitItsEnd waits until it is time to look again at a running job, and reports whether
// it is. The API may confirm the end some seconds after the notification.
func (w *importScrapingJob) awaitItsEnd(ctx workflow.Context, described activities.Description) (again bool, err error) {
	wait := w.untilNextLook(ctx)
	if !described.Found || !described.Running() || wait == 0 || !waits(ctx) {
		return false, nil
	}
	err = w.awaitShown(ctx, wait, waitForEnd, func() bool {
		w.takeSignals(ctx)
		return w.asked.Request != nothing || isLong(ctx) || w.scraping && w.asked.Close != ""
	})
	return true, err
}

// untilNextLook is 0 when the last notification is too old and nothing waits for the job's
// end.
func (w *importScrapingJob) untilNextLook(ctx workflow.Context) time.Duration {
	for _, after := range []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute} {
		if wait := w.asked.EndedAt.Add(after).Sub(workflow.Now(ctx)); wait > 0 {
			return wait
		}
	}
	if w.scraping { // few calls: notifications and reconciliation report the end, too
		return min(maxBetweenLooks, minBetweenLooks<<min(max(w.checks-1, 0), 10))
	}
	return 0
}

// awaitRound waits until it is time for the next round, and reports whether it is:
// another run goes on when this one has become too long.
func (w *importScrapingJob) awaitRound(ctx workflow.Context) (bool, error) {
	decisions := func() int { return w.signals[AcceptSignal].Len() + w.signals[DeleteNowSignal].Len() }
	before := decisions()
	if w.asked.heardAt.IsZero() || w.asked.ByHand || w.untilNextCheck(ctx) <= 0 || !waits(ctx) {
		return true, nil
	}
	err := w.awaitCalm(ctx, func() bool {
		w.takeSignals(ctx)
		return w.asked.Request > check || w.asked.ByHand || decisions() > before || isLong(ctx)
	})
	return err == nil && !isLong(ctx), err
}

// awaitCalm waits with a look until no signal has asked for it for a while, at most
// until untilNextCheck: thousands of notifications are some calls of the API, and the
// last of them is looked into seconds later.
func (w *importScrapingJob) awaitCalm(ctx workflow.Context, enough func() bool) error {
	for !enough() {
		wait := min(w.untilNextCheck(ctx), w.asked.heardAt.Add(min(maxCalm, w.betweenChecks())).Sub(workflow.Now(ctx)))
		if wait <= 0 {
			break
		}
		if err := w.awaitShown(ctx, wait, waitForCalm, enough); err != nil {
			return err
		}
	}
	return nil
}

// untilNextCheck is how long a look waits at most for more that asks for it.
func (w *importScrapingJob) untilNextCheck(ctx workflow.Context) time.Duration {
	if w.checks == 0 || w.asked.Request != check {
		return 0
	}
	return w.round.requestedAt.Add(w.betweenChecks()).Sub(workflow.Now(ctx))
}

// betweenChecks doubles with each look that has found nothing new.
func (w *importScrapingJob) betweenChecks() time.Duration {
	return min(maxBetweenChecks, time.Second<<min(w.checks, 10))
}
