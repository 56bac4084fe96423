package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// carried is the state that a run hands to the next one with continue-as-new. Temporal
// limits the length of a history, and refuses further signals to a run after 10,000.
type carried struct {
	asked
	published
	Deadline time.Time `json:"deadline,omitzero"` // of the question

	Job           sink.ScrapingJob `json:"job,omitzero"`
	Outcome       Outcome          `json:"outcome,omitempty"`
	Reason        string           `json:"reason,omitempty"`
	ArchivedAgain bool             `json:"archived_again,omitempty"`
	Pass          int              `json:"pass,omitempty"`
	RequestedAt   time.Time        `json:"requested_at,omitzero"`
	Checks        int              `json:"checks,omitempty"`
	Watchers      []watcher        `json:"watchers,omitempty"`
	Step          Step             `json:"step,omitempty"`
}

func (w *importScrapingJob) takeOver(ctx workflow.Context, c *carried) {
	if c == nil {
		return
	}
	w.asked, w.published = c.asked, c.published
	w.asked.heardAt = workflow.Now(ctx)
	w.question.deadline = c.Deadline
	w.round = round{pass: c.Pass, requestedAt: c.RequestedAt}
	w.watchers, w.scraping = c.Watchers, w.awaitEnd && activities.Description{Job: c.Job}.Running()
	if c.Step != "" && workflow.GetVersion(ctx, "carried-step", workflow.DefaultVersion, 1) != workflow.DefaultVersion {
		w.step = c.Step // else its next one is not indexed
	}
	w.job, w.outcome, w.reason, w.archivedAgain, w.checks = c.Job, c.Outcome, c.Reason, c.ArchivedAgain, c.Checks
}

// isLong reports whether a new run should continue: long before any limit of Temporal.
func isLong(ctx workflow.Context) bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() }

// continueAsNew ends the run between two rounds, once its files are removed, and hands
// over everything that signals have asked for.
func (w *importScrapingJob) continueAsNew(ctx workflow.Context, in ImportScrapingJobInput) error {
	disconnected, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	w.removals.Wait(disconnected)
	w.awaitReported(disconnected)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.asked.Request = w.nextRequest(ctx)
	for _, signal := range []string{AcceptSignal, DeleteNowSignal} {
		if w.arrived(signal) {
			w.asked.Waiting, w.asked.Manual = append(w.asked.Waiting, signal), true
		}
	}
	in.Account, in.AwaitEnd, in.Settings.Filter = w.account, w.awaitEnd, w.settings.Filter
	in.Carried = &carried{
		asked: w.asked, published: w.published, Deadline: w.question.deadline,
		Job: w.job, Outcome: w.outcome, Reason: w.reason, ArchivedAgain: w.archivedAgain,
		Pass: w.round.pass, RequestedAt: w.round.requestedAt, Checks: w.checks,
		Watchers: w.watchers, Step: w.step,
	}
	w.logger.Info("Continuing the import in a new run", "requests", w.checks)
	return workflow.NewContinueAsNewError(ctx, ImportScrapingJobName, in)
}
