package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// What an import waits for without needing a signal, as shown to operators.
const (
	waitForCalls = "the API's rate limit"
	waitForEnd   = "Web Scraper Cloud to report the job's end"
	waitForCalm  = "more notifications"
)

const (
	// Between two checks for changes: the longest quiet period to wait for, and the longest
	// interval.
	maxCalm          = 15 * time.Second
	maxBetweenChecks = time.Minute
	// Limits of the interval between two checks of a job that is being scraped.
	minScrapeInterval = 30 * time.Second
	maxScrapeInterval = 15 * time.Minute
)

// waits reports whether the run makes these waits; runs started by earlier builds do not.
func waits(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, "waits", workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

// awaitShown waits until something holds or the time is over, and shows what the import
// waits for.
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

// awaitCalls waits for API calls, which are reserved for after that time, or until wanted
// holds.
func (w *importScrapingJob) awaitCalls(ctx workflow.Context, wait time.Duration, wanted func() bool) error {
	err := w.awaitShown(ctx, wait, waitForCalls, func() bool {
		w.takeSignals(ctx)
		return wanted()
	})
	w.takeSignals(ctx) // any that arrived at the end
	return err
}

// awaitItsEnd waits before a running job is checked again, and reports whether it should be.
// The API may confirm a job's end seconds after the notification.
func (w *importScrapingJob) awaitItsEnd(ctx workflow.Context, described activities.Description) (again bool, err error) {
	wait := w.untilEndCheck(ctx)
	if !described.Found || !described.Running() || wait == 0 || !waits(ctx) {
		return false, nil
	}
	err = w.awaitShown(ctx, wait, waitForEnd, func() bool {
		w.takeSignals(ctx)
		return w.asked.Request != nothing || isLong(ctx) || w.scraping && w.asked.Close != ""
	})
	return true, err
}

// untilEndCheck returns 0 if the last notification is too old and no run of the sitemap
// waits for the job's end.
func (w *importScrapingJob) untilEndCheck(ctx workflow.Context) time.Duration {
	for _, after := range []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute} {
		if wait := w.asked.EndedAt.Add(after).Sub(workflow.Now(ctx)); wait > 0 {
			return wait
		}
	}
	if w.scraping { // few calls: notifications and reconciliation report the end, too
		return min(maxScrapeInterval, minScrapeInterval<<min(max(w.checks-1, 0), 10))
	}
	return 0
}

// awaitRound waits until the next round is due. It returns false if a new run must continue
// instead, because this one has become too long.
func (w *importScrapingJob) awaitRound(ctx workflow.Context) (bool, error) {
	decisions := func() int { return w.signals[AcceptSignal].Len() + w.signals[DeleteNowSignal].Len() }
	before := decisions()
	if w.asked.heardAt.IsZero() || w.asked.Manual || w.untilNextCheck(ctx) <= 0 || !waits(ctx) {
		return true, nil
	}
	err := w.awaitCalm(ctx, func() bool {
		w.takeSignals(ctx)
		return w.asked.Request > check || w.asked.Manual || decisions() > before || isLong(ctx)
	})
	return err == nil && !isLong(ctx), err
}

// awaitCalm delays a check until no signal has asked for it for a while, at most until
// untilNextCheck. So thousands of notifications cost a few API calls, and the last one is
// still followed up within seconds.
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

// untilNextCheck is the longest that a check waits for further signals.
func (w *importScrapingJob) untilNextCheck(ctx workflow.Context) time.Duration {
	if w.checks == 0 || w.asked.Request != check {
		return 0
	}
	return w.round.requestedAt.Add(w.betweenChecks()).Sub(workflow.Now(ctx))
}

// betweenChecks doubles with each check that finds nothing new.
func (w *importScrapingJob) betweenChecks() time.Duration {
	return min(maxBetweenChecks, time.Second<<min(w.checks, 10))
}
