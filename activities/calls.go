package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// calls says what the calls of an activity are for.
type calls struct {
	class postgres.Class
	// byHand puts them first: a person has asked for it.
	byHand bool
	// looks is set when the job is looked at before.
	looks *looks
	// more is the number of calls in addition to the one and the look.
	more int
}

// calling does what makes calls of the API, out of the account's budget: looking is the
// context for looks at jobs, calling that for the calls besides. If the budget has
// none, or the API refuses one, wait is the time that the workflow has been promised,
// and what else do has begun is in vain.
func (a *Account) calling(ctx context.Context, purpose calls, do func(looking, calling context.Context) error) (wait time.Duration, err error) {
	request := postgres.Request{Holder: activity.GetInfo(ctx).WorkflowExecution.ID, Class: purpose.class, Calls: 1 + purpose.more}
	shared := purpose.looks != nil && !purpose.byHand && purpose.looks.areShared()
	switch {
	case shared:
		request.Check = true
	case purpose.looks != nil:
		request.Calls++
	}
	if purpose.byHand {
		request.Class = postgres.CallsByHand
	}
	for range 2 { // if calls were refused, the second time asks for a place among those who wait
		grant, promised, err := a.reserve(ctx, request)
		if err != nil || promised > 0 {
			return promised, err
		}
		calling := grant.Context(ctx)
		looking := calling
		if shared {
			looking = a.withSharedLook(grant.Shared(ctx), purpose.looks)
		}
		err = do(looking, calling)
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

// reserve repeats what earlier attempts have told while it waits for the ledger.
func (a *Account) reserve(ctx context.Context, request postgres.Request) (*postgres.Grant, time.Duration, error) {
	earlier := lastProgress(ctx)
	defer keepHeartbeating(ctx, func() Progress { return earlier })()
	return a.ledger.Reserve(ctx, request)
}

// release gives back what is left. Otherwise it is unused until the window ends, which
// is no reason to do anything again.
func (a *Account) release(ctx context.Context, grant *postgres.Grant) {
	if err := grant.Release(ctx); err != nil {
		activity.GetLogger(ctx).Warn("Calls of the API that were not made count as made", "account", a.name, "Error", err)
	}
}
