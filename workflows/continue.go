package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/sink"
)

// carried is what a run leaves to the one that goes on with its import. Temporal
// bounds a run's history, and refuses to signal one that has had 10,000 signals.
type carried struct {
	Request  request   `json:"request,omitempty"`
	ByHand   bool      `json:"by_hand,omitempty"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
	Close    string    `json:"close,omitempty"`
	About    string    `json:"about,omitempty"`
	Accepted int64     `json:"accepted,omitempty"`
	// Withheld are the accepted questions about what was withheld.
	Withheld []sink.Question `json:"withheld,omitempty"`
	// Waiting are the signals that have arrived and count only when they are asked for.
	Waiting []string `json:"waiting,omitempty"`

	Published        sink.PublishedImport `json:"published,omitzero"`
	PublishedPass    int                  `json:"published_pass,omitempty"`
	PublishedProblem string               `json:"published_problem,omitempty"`
	HeldUntil        time.Time            `json:"held_until,omitzero"`
	DeleteNow        bool                 `json:"delete_now,omitempty"`
	Deadline         time.Time            `json:"deadline,omitzero"` // of the question

	Job           sink.ScrapingJob `json:"job,omitzero"`
	Outcome       Outcome          `json:"outcome,omitempty"`
	Reason        string           `json:"reason,omitempty"`
	ArchivedAgain bool             `json:"archived_again,omitempty"`
	Pass          int              `json:"pass,omitempty"`
	RequestedAt   time.Time        `json:"requested_at,omitzero"`
	Checks        int              `json:"checks,omitempty"`
}

// takeOver goes on where the run before has ended.
func (w *importScrapingJob) takeOver(ctx workflow.Context, c *carried) {
	if c == nil {
		return
	}
	w.asked = asked{
		request: c.Request, byHand: c.ByHand, heardAt: workflow.Now(ctx), endedAt: c.EndedAt,
		close: c.Close, about: c.About, withheld: c.Withheld, accepted: c.Accepted, waiting: c.Waiting,
	}
	w.published = published{
		PublishedImport: c.Published, pass: c.PublishedPass, problem: c.PublishedProblem, heldUntil: c.HeldUntil, deleteNow: c.DeleteNow,
	}
	w.question.deadline = c.Deadline
	w.round = round{pass: c.Pass, requestedAt: c.RequestedAt}
	w.job, w.outcome, w.reason, w.archivedAgain, w.checks = c.Job, c.Outcome, c.Reason, c.ArchivedAgain, c.Checks
}

// isLong reports whether another run has to go on, long before Temporal refuses
// anything.
func isLong(ctx workflow.Context) bool { return workflow.GetInfo(ctx).GetContinueAsNewSuggested() }

// continueAsNew ends the run between two rounds, when it has no file left to remove,
// and hands over all that signals have said.
func (w *importScrapingJob) continueAsNew(ctx workflow.Context, in ImportScrapingJobInput) error {
	disconnected, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	w.removals.Wait(disconnected)
	w.takeSignals(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var waiting []string
	for _, signal := range []string{AcceptSignal, DeleteNowSignal} {
		if w.arrived(signal) {
			waiting = append(waiting, signal)
		}
	}
	in.Carried = &carried{
		Request: w.nextRequest(ctx), ByHand: w.asked.byHand || len(waiting) > 0, EndedAt: w.asked.endedAt,
		Close: w.asked.close, About: w.asked.about, Withheld: w.asked.withheld, Accepted: w.asked.accepted, Waiting: waiting,
		Published: w.published.PublishedImport, PublishedPass: w.published.pass, PublishedProblem: w.published.problem,
		HeldUntil: w.published.heldUntil, DeleteNow: w.published.deleteNow, Deadline: w.question.deadline,
		Job: w.job, Outcome: w.outcome, Reason: w.reason, ArchivedAgain: w.archivedAgain,
		Pass: w.round.pass, RequestedAt: w.round.requestedAt, Checks: w.checks,
	}
	w.logger.Info("A new run goes on with the import", "Requests", w.checks)
	return workflow.NewContinueAsNewError(ctx, ImportScrapingJobName, in)
}
