package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// calls describes the API calls of an activity.
type calls struct {
	class postgres.Class
	// manual gives them priority: an operator requested them.
	manual bool
	// checks is set if the job is checked first.
	checks *sharedChecks
	// more is the number of calls in addition to the main one and the check.
	more int
}

// calling runs do, which makes API calls out of the account's budget: checking is the
// context for checks of jobs, calling the one for all other calls. If the budget has no
// call left, or the API refuses one, wait is the time promised to the workflow, and other
// results of do are void.
func (a *Account) calling(ctx context.Context, purpose calls, do func(checking, calling context.Context) error) (wait time.Duration, err error) {
	request := postgres.Request{Holder: activity.GetInfo(ctx).WorkflowExecution.ID, Class: purpose.class, Calls: 1 + purpose.more}
	shared := purpose.checks != nil && !purpose.manual && purpose.checks.enabled()
	switch {
	case shared:
		request.Check = true
	case purpose.checks != nil:
		request.Calls++
	}
	if purpose.manual {
		request.Class = postgres.ManualCalls
	}
	for range 2 { // if the API refused a call, the second pass reserves a later time
		grant, promised, err := a.reserve(ctx, request)
		if err != nil || promised > 0 {
			return promised, err
		}
		calling := grant.Context(ctx)
		checking := calling
		if shared {
			checking = a.withSharedCheck(grant.Shared(ctx), purpose.checks)
		}
		err = do(checking, calling)
		a.release(ctx, grant)
		if webscraper.IsUnauthorized(err) {
			return 0, accountError{a.name, err}
		}
		var refused bool
		if wait, refused = webscraper.IsRateLimited(err); !refused {
			return 0, err
		}
	}
	return wait, nil
}

// reserve waits for the ledger and meanwhile repeats the last heartbeat of earlier
// attempts.
func (a *Account) reserve(ctx context.Context, request postgres.Request) (*postgres.Grant, time.Duration, error) {
	earlier := lastProgress(ctx)
	defer keepHeartbeating(ctx, func() Progress { return earlier })()
	return a.ledger.Reserve(ctx, request)
}

// release returns unused calls to the budget. If that fails, they stay unused until the
// window ends, which is not worth a retry.
func (a *Account) release(ctx context.Context, grant *postgres.Grant) {
	if err := grant.Release(ctx); err != nil {
		activity.GetLogger(ctx).Warn("Returning unused API calls failed; they count until the window ends", "account", a.name, "error", err)
	}
}
