package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// One in shareForPeople of a window's calls is reserved for operators. When calls are
	// promised, one in shareForChecks is left for the checks that jobs share.
	shareForPeople = 40
	shareForChecks = 20
	// longestPromise is the longest wait, in windows: the limit may have changed by then.
	longestPromise = 4
	// lapse is the part of a window after which unclaimed promises no longer block others.
	lapse = 0.25
	// maxPatience is how long Reserve waits itself.
	maxPatience = 5 * time.Second
	// lockPatience is for the ledger's row, which is locked for a few milliseconds.
	lockPatience = "5s"
	// lateness is added to promised times, so that the window has surely started.
	lateness = 50 * time.Millisecond
)

// window is a row of api_budgets.
type window struct {
	Number    int64
	Length    float64 // seconds, as the following
	Calls     int
	Taken     int
	Commands  int // of Taken, by operators' commands
	Elsewhere int
	Answered  bool
	Left      float64 // until it resets
	Ahead     int     // calls of waiting holders that go first
	Due       int     // of Ahead, those promised for this window
}

// open returns the window at the time of a call, which is a new one if the old one has ended.
func (w window) open(calls int) window {
	calls = cmp.Or(calls, w.Calls, documentedCalls)
	if w.Left > 0 {
		w.Calls = min(w.Calls, calls)
		return w
	}
	return window{Number: w.Number + 1, Length: w.Length, Calls: calls, Left: w.Length, Ahead: w.Ahead, Due: w.Due}
}

// of returns how many of the window's calls a class may take, at least least, so that every
// request can be granted.
func (w window) of(class Class, least int) int {
	if class != ManualCalls && class != callsOfCommands {
		w.Calls -= max(w.forPeople()-w.Commands, 0)
	}
	return max(w.Calls, least)
}

func (w window) forPeople() int { return w.Calls / shareForPeople }

// wait returns how long a request must wait, 0 if it need not.
func (w window) wait(r Request) time.Duration {
	calls := w.of(r.Class, r.needs())
	left := calls - w.Taken - w.Elsewhere
	if r.Class == callsOfCommands && w.Commands < w.forPeople() {
		w.Due = 0
	}
	if w.Due+r.needs() <= left {
		return 0
	}
	missing := w.Ahead + r.Calls - max(left, 0)
	each := max(calls-calls/shareForChecks, 1)
	later := max((missing+each-1)/each, 1) - 1
	return min(seconds(w.Left+float64(later)*w.Length)+lateness, seconds(longestPromise*w.Length))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// learn corrects the window by the response to a call of window number.
func (w *window) learn(number int64, limit, used int, renewed bool, refused time.Duration) {
	if limit > 0 && w.Number == number {
		w.Calls = min(w.Calls, limit)
	}
	switch {
	case refused > 0: // even if this window has started too early
		w.Elsewhere = max(w.Elsewhere, w.Calls-w.Taken)
		w.Left, w.Answered = refused.Seconds(), true
	case w.Number != number:
	case renewed:
		// The service counts calls in flight in its new window.
		*w = window{Number: w.Number + 1, Length: w.Length, Calls: w.Calls, Taken: used, Answered: true, Left: w.Length}
	default:
		if !w.Answered { // the service's window started before it answered
			w.Answered, w.Left = true, max(w.Left, w.Length)
		}
		w.Elsewhere = max(w.Elsewhere, used-w.Taken)
	}
}

const (
	// A PostgreSQL crash may lose the last calls; the service's responses correct that.
	impatient = `
SELECT set_config('lock_timeout', '` + lockPatience + `', true), set_config('synchronous_commit', 'off', true),
       set_config('application_name', 'scrapehaul: API calls', true)`

	// takeCalls is the fast path of open and wait: the window is open, nobody waits, and the
	// limit has not changed. It waits for the row no longer than lockPatience.
	takeCalls = `
UPDATE scrapehaul.api_budgets AS budget SET taken = taken + $4
FROM (` + impatient + `) AS impatient
WHERE account = $1 AND resets_at > clock_timestamp() AND ($6 = 0 OR calls <= $6)
  AND calls - greatest(calls / $7 - commands, 0) - taken - elsewhere >= $5
  AND NOT EXISTS (SELECT FROM scrapehaul.api_waits AS wait WHERE wait.account = $1
                  AND (wait.holder = $2 OR wait.until > clock_timestamp() - $3::float8 * window_length))
RETURNING window_number AS number, extract(epoch FROM window_length)::float8 AS length, calls, taken, commands, elsewhere, answered,
          extract(epoch FROM resets_at - clock_timestamp())::float8 AS left`

	returnCalls = `
UPDATE scrapehaul.api_budgets SET taken = greatest(taken - $3, 0)
FROM (` + impatient + `) AS impatient WHERE account = $1 AND window_number = $2`

	insertBudget = `INSERT INTO scrapehaul.api_budgets (account) VALUES ($1) ON CONFLICT DO NOTHING`

	lockBudget = `SELECT window_number FROM scrapehaul.api_budgets WHERE account = $1 FOR UPDATE`

	// selectWindow runs after locking, so that it sees the latest state. Holders that go first
	// and were promised this window are due.
	selectWindow = `
SELECT window_number AS number, extract(epoch FROM window_length)::float8 AS length, calls, taken, commands, elsewhere, answered,
       coalesce(extract(epoch FROM nullif(resets_at, '-infinity') - clock_timestamp()), 0)::float8 AS left, ahead, due
FROM scrapehaul.api_budgets AS budget,
     LATERAL (SELECT coalesce(sum(wait.calls), 0) AS ahead,
                     coalesce(sum(wait.calls) FILTER (
                         WHERE until < greatest(resets_at, CASE WHEN resets_at < clock_timestamp() THEN clock_timestamp() + window_length END)
                                       - $4::float8 * window_length), 0) AS due
              FROM scrapehaul.api_waits AS wait
              WHERE wait.account = $1 AND wait.holder <> $2 AND wait.until > clock_timestamp() - $4::float8 * window_length
                    AND wait.place < least(clock_timestamp() + $3::float8 * window_length,
                                           (SELECT place FROM scrapehaul.api_waits WHERE account = $1 AND holder = $2))) AS waiting
WHERE account = $1`

	updateWindow = `
UPDATE scrapehaul.api_budgets
SET window_number = $2, calls = $3, taken = $4, commands = $5, elsewhere = $6, answered = $7, resets_at = coalesce(clock_timestamp() + $8 * interval '1 second', resets_at)
WHERE account = $1`

	// A holder keeps its place unless it asks for a better one.
	upsertWait = `
INSERT INTO scrapehaul.api_waits (account, holder, calls, place, until)
SELECT account, $2, $3, clock_timestamp() + $4 * window_length, clock_timestamp() + $5 * interval '1 second'
FROM scrapehaul.api_budgets WHERE account = $1
ON CONFLICT (account, holder) DO UPDATE
SET calls = excluded.calls, place = least(api_waits.place, excluded.place), until = excluded.until`

	deleteWaits = `
DELETE FROM scrapehaul.api_waits
WHERE account = $1 AND (holder = $2 OR until < clock_timestamp() - interval '1 day')`
)

// change locks the ledger, has work modify the current window, and stores the result.
func (l *Ledger) change(ctx context.Context, r Request, work func(tx transaction, now *window) error) error {
	err := l.store.inTx(ctx, func(tx transaction) error {
		if _, err := tx.ExecContext(ctx, impatient); err != nil {
			return err
		}
		var number int64
		err := tx.GetContext(ctx, &number, lockBudget, l.account)
		if errors.Is(err, sql.ErrNoRows) {
			if _, err = tx.ExecContext(ctx, insertBudget, l.account); err == nil {
				err = tx.GetContext(ctx, &number, lockBudget, l.account)
			}
		}
		if err != nil {
			return err
		}
		var now window
		if err := tx.GetContext(ctx, &now, selectWindow, l.account, r.Holder, r.Class.behind(), lapse); err != nil {
			return err
		}
		before := now
		if err := work(tx, &now); err != nil || now == before {
			return err
		}
		var left *float64
		if now.Left != before.Left {
			left = &now.Left
		}
		_, err = tx.ExecContext(ctx, updateWindow, l.account, now.Number, now.Calls, now.Taken, now.Commands, now.Elsewhere, now.Answered, left)
		return err
	})
	return because(ctx, err)
}

// because adds the cause of the context's end: PostgreSQL only reports a canceled statement.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}
