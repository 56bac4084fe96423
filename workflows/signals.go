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

// takeSignals receives all pending signals and keeps what they ask for. Those from operators
// and from the cloud reset the deadline of a question.
func (w *importScrapingJob) takeSignals(ctx workflow.Context) {
	for said, ok := range w.said(ctx, NotificationSignal) {
		if ok {
			w.hear(said.SitemapName, said.Status, 0)
		}
		w.askCheck(ctx)
		w.question.deadline = time.Time{}
		switch said.Status {
		case "":
			w.asked.Manual = true
		case "finished", "stopped", "failed":
			w.asked.EndedAt = workflow.Now(ctx)
		}
	}
	for range w.said(ctx, ReimportSignal) {
		w.asked.Request, w.asked.Manual, w.question.deadline = max(w.asked.Request, reimport), true, time.Time{}
	}
	w.takeWatchers(ctx)
	for _, signal := range []string{KeepSignal, AbandonSignal} {
		if w.arrived(signal) {
			w.asked.Close, w.asked.Manual = signal, true
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

// said receives all pending signals of that name and yields their inputs, except those of
// another account. ok is false for a manual signal with any other input.
func (w *importScrapingJob) said(ctx workflow.Context, signal string) iter.Seq2[Notification, bool] {
	return func(yield func(said Notification, ok bool) bool) {
		for {
			var input converter.RawValue // takes any input
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

// refuses reports whether a signal is about another account's job. If so, it is recorded
// in parallel to the rounds; the run does not close before that.
func (w *importScrapingJob) refuses(ctx workflow.Context, account string) bool {
	if validate.Account("", account) != nil { // sent manually
		account = ""
	}
	if account == "" || w.account == "" || account == w.account {
		w.setAccount(cmp.Or(w.account, account))
		return false
	}
	refusal := activities.RefuseScrapingJobInput{ScrapingJobID: w.id, Account: account, Owner: w.account}
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	w.refusing++
	workflow.Go(disconnected, func(ctx workflow.Context) {
		defer func() { w.refusing-- }()
		if err := workflow.ExecuteActivity(shortStep(ctx, "record the refused job of account "+account), a.RefuseScrapingJob, refusal).Get(ctx, nil); err != nil {
			w.logger.Warn("Recording a refused job failed", "account", account, "error", err)
		}
	})
	return true
}

func (w *importScrapingJob) askCheck(ctx workflow.Context) {
	w.asked.Request, w.asked.heardAt = max(w.asked.Request, check), workflow.Now(ctx)
}

// askedAgain is the request that repeats the rest of the failed round.
func (w *importScrapingJob) askedAgain() request {
	if w.published.Pass == w.round.pass {
		return check
	}
	return w.round.request
}

// nextRequest is the request of the next round. A notification retries a failed re-import
// as a re-import: the operator still wants it.
func (w *importScrapingJob) nextRequest(ctx workflow.Context) request {
	if w.asked.Request == check && w.asked.Close == "" && w.askedAgain() == reimport &&
		workflow.GetVersion(ctx, "reimport-again", workflow.DefaultVersion, 1) != workflow.DefaultVersion {
		return reimport
	}
	return w.asked.Request
}

// hear keeps what a signal says about the job, for display until the cloud has described
// it.
func (w *importScrapingJob) hear(sitemapName, status string, storedRecordCount int64) {
	if w.job.SitemapName == "" {
		w.job.SitemapName, w.job.Status, w.job.StoredRecordCount = sitemapName, status, storedRecordCount
	}
}

// awaitQuiet waits for work in parallel to the rounds and reports whether the run ends:
// it was canceled, or no signal asks for another round. It takes signals once more after
// the last wait.
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

// awaitDecision waits for an operator to close the import or to send the signal proceed,
// for a signal that asks for another round, or until the deadline. If several arrive
// together, proceeds and w.asked have them all.
//
// proceed leads to deletion. It counts only for what the operator can have seen: this
// import, with this question about it.
func (w *importScrapingJob) awaitDecision(ctx workflow.Context, question string, deadline time.Time, summary, proceed string) (proceeds bool, err error) {
	if about := w.about(question); about != w.asked.About {
		w.asked.About = about
		w.arrived(AcceptSignal)
		w.arrived(DeleteNowSignal)
	}
	decidedOrChanged := func(least request) bool {
		w.takeSignals(ctx)
		for _, signal := range []string{AcceptSignal, DeleteNowSignal} {
			proceeds = w.arrived(signal) && signal == proceed || proceeds
		}
		if isLong(ctx) {
			w.asked.Request = max(w.asked.Request, check) // made by the next run
		}
		return w.asked.Request >= least || w.asked.Close != "" || proceeds
	}
	decided := func() bool { return decidedOrChanged(check) }
	wait := deadline.Sub(workflow.Now(ctx))
	if !decided() && wait > 0 {
		err = await(ctx, wait, summary, decided)
	}
	if err == nil && w.untilNextCheck(ctx) > 0 && !isLong(ctx) && waits(ctx) {
		err = w.awaitCalm(ctx, func() bool { return decidedOrChanged(reimport) || isLong(ctx) })
	}
	w.asked.Manual = w.asked.Manual || proceeds
	return proceeds, err
}

func (w *importScrapingJob) about(question string) string {
	return fmt.Sprintf("import %d: %s", w.published.ImportID, question)
}

func await(ctx workflow.Context, wait time.Duration, summary string, something func() bool) error {
	ctx, cancel := workflow.WithCancel(ctx) // ends the timer with the wait
	defer cancel()
	_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: summary},
	}, something)
	return err
}

// arrived receives all pending signals of that name. An accept with a text as its input
// counts only if the text is the latest question.
func (w *importScrapingJob) arrived(signal string) (some bool) {
	some = slices.Contains(w.asked.Waiting, signal)
	w.asked.Waiting = slices.DeleteFunc(w.asked.Waiting, func(s string) bool { return s == signal })
	for {
		var input converter.RawValue // a manual signal may have any input
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
		sooner := w.step == StepHold || w.waitsFor != "" && !w.deletion().Manual // else delete-now gains nothing
		if sooner && w.asked.Close == "" && w.asked.Request != reimport {
			signals = slices.Insert(signals, 0, DeleteNowSignal)
		}
		return signals
	}
	return []string{ReimportSignal}
}

// Input returns the input to send with a signal, so that it answers this question and no
// later one; nil for none.
func (p Progress) Input(signal string) any {
	if signal == AcceptSignal && p.Attention != "" {
		return p.Attention
	}
	return nil
}

// Meaning is [SignalMeaning] for the present question.
func (p Progress) Meaning(signal string) string {
	switch {
	case signal == AcceptSignal && p.Accept != "":
		return p.Accept
	case signal == ReimportSignal && (p.Step == StepDownload || p.Step == StepImport):
		return "downloads and imports the job once more after this import, replacing its records"
	case p.SkippedIfClosed && (signal == KeepSignal || signal == AbandonSignal):
		return SignalMeaning(signal) + ", and reconciliation skips it until it has run again"
	}
	return SignalMeaning(signal)
}

// signalMeanings lists all signals, with what each does.
var signalMeanings = []struct{ signal, meaning string }{
	{NotificationSignal, "imports changed content: Web Scraper Cloud sent a notification"},
	{ReimportSignal, "downloads and imports the job again, replacing its records"},
	{reconciliationSignal, "imports changed content: reconciliation found the job due"},
	{AbandonSignal, "closes the import as abandoned; the job stays in the cloud"},
	{KeepSignal, "closes the import as kept; the job stays in the cloud"},
	{watchSignal, "makes the import report to the workflow with this ID"},
	{AcceptSignal, "continues anyway, as the question says"},
	{DeleteNowSignal, "ends the hold and deletes the job in the cloud now"},
}

// SignalMeaning returns what a signal does, as the rest of a sentence that starts with
// its name, or "" for an unknown signal.
func SignalMeaning(signal string) string {
	for _, each := range signalMeanings {
		if each.signal == signal {
			return each.meaning
		}
	}
	return ""
}
