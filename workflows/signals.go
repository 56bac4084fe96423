package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
)

// decisionSignals are those by which a person decides, in the order in which
// they count when several have come.
var decisionSignals = []string{AbandonSignal, KeepSignal, AcceptSignal, DeleteNowSignal}

// listen returns the channels of all signals by their names.
func listen(ctx workflow.Context) map[string]workflow.ReceiveChannel {
	channels := map[string]workflow.ReceiveChannel{}
	for _, name := range append([]string{NotificationSignal, ReimportSignal, reconciliationSignal}, decisionSignals...) {
		channels[name] = workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: SignalMeaning(name)})
	}
	return channels
}

// takeSignals notes what the signals that have arrived ask for. Those of people and
// of the cloud set the deadline of a question anew.
func (w *importScrapingJob) takeSignals() {
	for {
		var notification converter.RawValue // which any input is
		if !w.signals[NotificationSignal].ReceiveAsync(&notification) {
			break
		}
		w.asked.request, w.question.deadline = max(w.asked.request, check), time.Time{}
		var said Notification // one that was sent by hand may say anything
		if notification.Payload() != nil && converter.GetDefaultDataConverter().FromPayload(notification.Payload(), &said) == nil {
			w.hear(said.SitemapName, said.Status, 0)
		}
	}
	for w.signals[ReimportSignal].ReceiveAsync(nil) {
		w.asked.request, w.question.deadline = max(w.asked.request, reimport), time.Time{}
	}
	for {
		var found sink.ScrapingJob
		if !w.signals[reconciliationSignal].ReceiveAsync(&found) {
			return
		}
		if w.question.retryable() || !found.SameContent(w.job) {
			w.asked.request = max(w.asked.request, check)
		}
		w.hear(found.SitemapName, found.Status, found.StoredRecordCount)
	}
}

// hear notes what a signal says of the job, for people to see until the cloud has
// described it.
func (w *importScrapingJob) hear(sitemapName, status string, storedRecordCount int64) {
	if w.job.SitemapName == "" {
		w.job.SitemapName, w.job.Status, w.job.StoredRecordCount = sitemapName, status, storedRecordCount
	}
}

// awaitQuiet waits for what runs besides the rounds and reports whether the run
// ends: it was cancelled, or no signal asks for another round. The last wait comes
// before the last look for signals.
func (w *importScrapingJob) awaitQuiet(ctx workflow.Context) bool {
	w.takeSignals()
	if w.asked.request == nothing || ctx.Err() != nil {
		disconnected, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		w.removals.Wait(disconnected)
		w.takeSignals()
	}
	return w.asked.request == nothing || ctx.Err() != nil
}

// awaitDecision waits for one of the signals, for one that wants another round (it
// has been asked for then), or until the deadline. Decisions that make no sense here
// are dropped.
func (w *importScrapingJob) awaitDecision(ctx workflow.Context, deadline time.Time, summary string, signals ...string) (decision string, err error) {
	decided := func() bool {
		w.takeSignals()
		for _, signal := range decisionSignals {
			if w.drain(signal) && decision == "" && slices.Contains(signals, signal) {
				decision = signal
			}
		}
		return w.asked.request != nothing || decision != ""
	}
	// These lead to deletion: what was sent before this state could be seen was
	// not meant for it.
	w.drain(AcceptSignal)
	w.drain(DeleteNowSignal)
	wait := deadline.Sub(workflow.Now(ctx))
	if decided() || wait <= 0 {
		return decision, nil
	}
	ctx, cancel := workflow.WithCancel(ctx) // ends the timer when the wait ends before
	defer cancel()
	_, err = workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary},
	}, decided)
	return decision, err
}

// drain takes all signals of that name that have arrived.
func (w *importScrapingJob) drain(signal string) (arrived bool) {
	for w.signals[signal].ReceiveAsync(nil) {
		arrived = true
	}
	w.asked.keep = w.asked.keep || arrived && signal == KeepSignal
	return arrived
}

// signalsInStep are the signals that make sense now.
func (w *importScrapingJob) signalsInStep() []string {
	switch {
	case w.step == stepDone:
		return nil
	case w.question.problem != nil:
		return append(w.question.decisions(), ReimportSignal)
	case w.step == StepHold:
		return []string{DeleteNowSignal, KeepSignal, AbandonSignal, ReimportSignal}
	}
	return []string{ReimportSignal}
}

// SignalMeaning says in a few words what a signal does, or "" if there is none of
// that name.
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
	case NotificationSignal:
		return "imports what has changed: Web Scraper Cloud has sent a notification"
	case reconciliationSignal:
		return "imports what has changed: reconciliation has found the job due"
	}
	return ""
}
