package workflows

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
)

func listen(ctx workflow.Context) map[string]workflow.ReceiveChannel {
	channels := map[string]workflow.ReceiveChannel{}
	for _, each := range signalMeanings {
		channels[each.signal] = workflow.GetSignalChannelWithOptions(ctx, each.signal, workflow.SignalChannelOptions{Description: each.meaning})
	}
	return channels
}

// takeSignals notes what the signals that have arrived ask for. Those of people and
// of the cloud set the deadline of a question anew.
func (w *importScrapingJob) takeSignals(ctx workflow.Context) {
	for said, ok := range w.said(ctx, NotificationSignal) {
		if ok {
			w.hear(said.SitemapName, said.Status, 0)
		}
		w.askCheck(ctx)
		w.question.deadline = time.Time{}
		switch said.Status {
		case "":
			w.asked.ByHand = true
		case "finished", "stopped", "failed":
			w.asked.EndedAt = workflow.Now(ctx)
		}
	}
	for range w.said(ctx, ReimportSignal) {
		w.asked.Request, w.asked.ByHand, w.question.deadline = max(w.asked.Request, reimport), true, time.Time{}
	}
	w.takeWatchers(ctx)
	for _, signal := range []string{KeepSignal, AbandonSignal} {
		if w.arrived(signal) {
			w.asked.Close, w.asked.ByHand = signal, true
		}
	}
	for {
		var found sink.ScrapingJob
		if !w.signals[reconciliationSignal].ReceiveAsync(&found) {
			return
		}
		if w.refuses(ctx, found.Account) {
			continue
		}
		switch due := found.ScrapingJobID != 0; {
		case w.question.retryable():
			w.asked.Request = max(w.asked.Request, w.askedAgain())
		case due && !found.SameContent(w.job):
			w.askCheck(ctx)
		}
		w.hear(found.SitemapName, found.Status, found.StoredRecordCount)
	}
}

// said yields what signals of that name that have arrived say of the job, but for another
// account's: ok is false for one that was sent by hand and says something else.
func (w *importScrapingJob) said(ctx workflow.Context, signal string) iter.Seq2[Notification, bool] {
	return func(yield func(said Notification, ok bool) bool) {
		for {
			var input converter.RawValue // which any input is
			if !w.signals[signal].ReceiveAsync(&input) {
				return
			}
			var said Notification
			ok := input.Payload() != nil && converter.GetDefaultDataConverter().FromPayload(input.Payload(), &said) == nil
			if !w.refuses(ctx, said.Account) && !yield(said, ok) {
				return
			}
		}
	}
}

// refuses reports whether a signal is about the job of another account, and if so has that
// recorded in parallel to the rounds; the run does not close before it is.
func (w *importScrapingJob) refuses(ctx workflow.Context, account string) bool {
	if validate.Account("", account) != nil { // sent by hand
		account = ""
	}
	if account == "" || w.account == "" || account == w.account {
		w.isOf(cmp.Or(w.account, account))
		return false
	}
	refusal := activities.RefuseScrapingJobInput{ScrapingJobID: w.id, Account: account, Owner: w.account}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	w.refusing++
	workflow.Go(disconnected, func(ctx workflow.Context) {
		defer func() { w.refusing-- }()
		if err := workflow.ExecuteActivity(shortStep(ctx, "refuse the job of account "+account), a.RefuseScrapingJob, refusal).Get(ctx, nil); err != nil {
			w.logger.Warn("A refused job was not recorded", "Account", account, "Error", err)
		}
	})
	return true
}

func (w *importScrapingJob) askCheck(ctx workflow.Context) {
	w.asked.Request, w.asked.heardAt = max(w.asked.Request, check), workflow.Now(ctx)
}

// askedAgain is the request for the round that has failed: for what it has not done.
func (w *importScrapingJob) askedAgain() request {
	if w.published.Pass == w.round.pass {
		return check
	}
	return w.round.request
}

// nextRequest is what the next round is asked for: with a notification, a re-import
// that has failed is made again, as the person who wanted it still does.
func (w *importScrapingJob) nextRequest(ctx workflow.Context) request {
	if w.asked.Request == check && w.asked.Close == "" && w.askedAgain() == reimport &&
		workflow.GetVersion(ctx, "reimport-again", workflow.DefaultVersion, 1) != workflow.DefaultVersion {
		return reimport
	}
	return w.asked.Request
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
func (w *importScrapingJob) awaitQuiet(ctx workflow.Context, roundErr error) bool {
	w.takeSignals(ctx)
	if w.asked.Request == nothing || ctx.Err() != nil {
		disconnected, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		w.setFinalReport(roundErr)
		w.removals.Wait(disconnected)
		w.awaitReported(disconnected)
	}
	return w.asked.Request == nothing || ctx.Err() != nil
}

// awaitDecision waits for a person to close the import or to go on by the signal
// that does so here, for a signal that wants another round, or until the deadline.
// Several may come at once; then goesOn and w.asked have them all.
//
// What goes on leads to deletion. It counts only for what a person can have seen: this
// import, with this question about it.
func (w *importScrapingJob) awaitDecision(ctx workflow.Context, question string, deadline time.Time, summary, goOn string) (goesOn bool, err error) {
	if about := w.about(question); about != w.asked.About {
		w.asked.About = about
		w.arrived(AcceptSignal)
		w.arrived(DeleteNowSignal)
	}
	decidedOrChanged := func(least request) bool {
		w.takeSignals(ctx)
		for _, signal := range []string{AcceptSignal, DeleteNowSignal} {
			goesOn = w.arrived(signal) && signal == goOn || goesOn
		}
		if isLong(ctx) {
			w.asked.Request = max(w.asked.Request, check) // which another run makes
		}
		return w.asked.Request >= least || w.asked.Close != "" || goesOn
	}
	decided := func() bool { return decidedOrChanged(check) }
	wait := deadline.Sub(workflow.Now(ctx))
	if !decided() && wait > 0 {
		err = await(ctx, wait, summary, decided)
	}
	if err == nil && w.untilNextCheck(ctx) > 0 && !isLong(ctx) && waits(ctx) {
		err = w.awaitCalm(ctx, func() bool { return decidedOrChanged(reimport) || isLong(ctx) })
	}
	w.asked.ByHand = w.asked.ByHand || goesOn
	return goesOn, err
}

func (w *importScrapingJob) about(question string) string {
	return fmt.Sprintf("import %d: %s", w.published.ImportID, question)
}

func await(ctx workflow.Context, wait time.Duration, summary string, something func() bool) error {
	ctx, cancel := workflow.WithCancel(ctx) // ends the timer when the wait ends before
	defer cancel()
	_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary},
	}, something)
	return err
}

// arrived takes all signals of that name that have arrived. An accept with a text as its
// input counts only if that is what a person was asked last.
func (w *importScrapingJob) arrived(signal string) (some bool) {
	some = slices.Contains(w.asked.Waiting, signal)
	w.asked.Waiting = slices.DeleteFunc(w.asked.Waiting, func(s string) bool { return s == signal })
	for {
		var input converter.RawValue // one that was sent by hand may be anything
		if !w.signals[signal].ReceiveAsync(&input) {
			return some
		}
		var question string
		if signal == AcceptSignal && input.Payload() != nil {
			_ = converter.GetDefaultDataConverter().FromPayload(input.Payload(), &question)
		}
		some = some || question == "" || w.about(question) == w.asked.About
	}
}

func (w *importScrapingJob) signalsInStep() []string {
	switch {
	case w.step == stepDone:
		return nil
	case w.question.problem != nil:
		return w.question.signals()
	case w.step == StepScrape:
		return []string{AbandonSignal}
	case w.step == StepHold, w.step == StepDelete:
		signals := []string{KeepSignal, AbandonSignal, ReimportSignal}
		sooner := w.step == StepHold || w.waitsFor != "" && !w.deletion().ByHand // what a person gains by it
		if sooner && w.asked.Close == "" && w.asked.Request != reimport {
			signals = slices.Insert(signals, 0, DeleteNowSignal)
		}
		return signals
	}
	return []string{ReimportSignal}
}

// Input is what is to be sent with a signal, so that it answers this question and no
// later one; nil for nothing.
func (p Progress) Input(signal string) any {
	if signal == AcceptSignal && p.Attention != "" {
		return p.Attention
	}
	return nil
}

// Meaning says in a few words what a signal would do now.
func (p Progress) Meaning(signal string) string {
	if signal == AcceptSignal && p.Accept != "" {
		return p.Accept
	}
	return SignalMeaning(signal)
}

// signalMeanings are all signals, with what each does.
var signalMeanings = []struct{ signal, meaning string }{
	{NotificationSignal, "imports what has changed: Web Scraper Cloud has sent a notification"},
	{ReimportSignal, "downloads and imports again, replacing the records"},
	{reconciliationSignal, "imports what has changed: reconciliation has found the job due"},
	{AbandonSignal, "gives the import up; the job stays in the cloud"},
	{KeepSignal, "closes the import; the job stays in the cloud for good"},
	{watchSignal, "makes the import report to the workflow with this ID"},
	{AcceptSignal, "goes on all the same, as the question says"},
	{DeleteNowSignal, "ends the hold: the job is deleted in the cloud now"},
}

// SignalMeaning says in a few words what a signal does, or "" if there is none of
// that name.
func SignalMeaning(signal string) string {
	for _, each := range signalMeanings {
		if each.signal == signal {
			return each.meaning
		}
	}
	return ""
}
