package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// Ledger is an account's budget of API calls, shared by all processes on the database. Like
// Web Scraper Cloud it allows a number of calls per window; a window starts with its first
// call, by the database's clock. While the window has calls left, they are granted
// immediately. After that, each holder is promised a time in a later window. Ledger is a
// webscraper.Budget.
//
// If calls are scarce, requests by operators go first, then downloads, deletions and lists;
// requests that have waited for some windows go before new ones. Some calls of each window
// are reserved for operators.
type Ledger struct {
	store   *Store
	account string
	calls   int

	mu   sync.Mutex
	seen window // the latest that this process has seen
	used int    // its calls used, as the service last reported to this process
}

// documentedCalls is the API's documented limit.
const documentedCalls = 200

// NewLedger returns the ledger of an account, whose key must not be a secret, with a limit of
// calls per window of 15 minutes. If other processes set another limit, the lowest applies; 0
// uses theirs.
func NewLedger(db *sqlx.DB, account string, calls int) *Ledger {
	return &Ledger{store: &Store{db: db}, account: account, calls: calls}
}

// Class says what calls are for.
type Class int

// The classes, by priority.
const (
	ManualCalls Class = iota
	CallsForDownloads
	CallsForDeletions
	CallsForLists
	callsOfCommands
)

// behind returns by how many windows a class yields to downloads requested at the same time.
func (c Class) behind() float64 { return [...]float64{-1000, 0, 4, 8, 1000}[c] }

// Request asks for calls.
type Request struct {
	// Holder identifies the request while it waits, for example by workflow ID.
	Holder string
	Class  Class
	// Calls is how many calls the holder makes. Check adds one, which others may share.
	Calls int
	Check bool
}

func (r Request) needs() int {
	if r.Check {
		return r.Calls + 1
	}
	return r.Calls
}

// Reserve takes calls. If the window has none left, it keeps the holder's place and returns
// how long to wait before asking again. It waits up to 5 seconds itself.
func (l *Ledger) Reserve(ctx context.Context, r Request) (*Grant, time.Duration, error) {
	for started := time.Now(); ; {
		number, wait, err := l.reserve(ctx, r)
		if err != nil {
			return nil, 0, fmt.Errorf("reserving API calls from the account's budget: %w", err)
		}
		if wait == 0 {
			grant := &Grant{ledger: l, class: r.Class, window: number}
			grant.left.Store(int64(r.Calls))
			return grant, 0, nil
		}
		if time.Since(started)+wait > maxPatience {
			return nil, wait, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// reserve takes the calls, or records that the holder waits.
func (l *Ledger) reserve(ctx context.Context, r Request) (number int64, wait time.Duration, err error) {
	if number, err = l.take(ctx, r); err != nil || number > 0 {
		return number, 0, err
	}
	err = l.change(ctx, r, func(tx transaction, now *window) error {
		w := now.open(l.calls)
		if wait = w.wait(r); wait > 0 {
			_, err := tx.ExecContext(ctx, upsertWait, l.account, r.Holder, r.Calls, r.Class.behind(), wait.Seconds())
			return err
		}
		w.Taken += r.Calls
		*now, number = w, w.Number
		l.see(w)
		_, err := tx.ExecContext(ctx, deleteWaits, l.account, r.Holder)
		return err
	})
	return number, wait, err
}

// take takes the calls in one statement if the window has enough and nobody waits, which is
// the usual case. Otherwise it returns 0.
func (l *Ledger) take(ctx context.Context, r Request) (number int64, err error) {
	var taken window
	err = l.store.alone(ctx, func(on session) error {
		err := on.GetContext(ctx, &taken, takeCalls, l.account, r.Holder, lapse, r.Calls, r.needs(), l.calls, shareForPeople)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err == nil && taken.Number > 0 {
		l.see(taken)
	}
	return taken.Number, because(ctx, err)
}

// Grant holds reserved calls. API calls with its Context use them up.
type Grant struct {
	ledger *Ledger
	class  Class
	window int64
	left   atomic.Int64
}

type grantKey struct{}

// Context returns a context whose API calls use the grant.
func (g *Grant) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// Shared returns a context whose API calls are taken one by one and not from the grant,
// because others share their results.
func (g *Grant) Shared(ctx context.Context) context.Context {
	return context.WithValue(ctx, grantKey{}, &Grant{class: g.class})
}

// Release returns unused calls to the budget.
func (g *Grant) Release(ctx context.Context) error {
	left := int(g.left.Swap(0))
	if left <= 0 {
		return nil
	}
	ctx, cancel := aftermath(ctx)
	defer cancel()
	_, err := g.ledger.store.exec(ctx, returnCalls, g.ledger.account, g.window, left)
	return doing(because(ctx, err), "returning %d API calls to the account's budget", left)
}

// aftermathWithin limits the writes that must follow a call.
const aftermathWithin = 5 * time.Second

// aftermath returns a context for writes that must follow a call, however it ended.
func aftermath(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), aftermathWithin)
}

const takingCall = "taking an API call from the account's budget"

// Take takes one call, from the context's grant if it has one; see webscraper.Budget.
// Without a grant the call is for an operator's command. It is granted immediately, but
// apart from the calls reserved for operators, commands never take calls that this window
// has promised to others.
func (l *Ledger) Take(ctx context.Context) (answered func(context.Context, int, int, time.Duration) error, wait time.Duration, err error) {
	r := Request{Calls: 1, Class: callsOfCommands}
	grant, granted := ctx.Value(grantKey{}).(*Grant)
	if granted {
		if grant.left.Add(-1) >= 0 {
			return l.answers(grant.window), 0, nil
		}
		r.Class = grant.class
		if number, err := l.take(ctx, r); err != nil || number > 0 {
			return l.answers(number), 0, doing(err, takingCall)
		}
	}
	var number int64
	err = l.change(ctx, r, func(_ transaction, now *window) error {
		w := now.open(l.calls)
		w.Ahead = 0
		if granted { // its holder has had its turn
			w.Due = 0
		}
		if wait = w.wait(r); wait > 0 {
			return nil
		}
		w.Taken++
		if !granted {
			w.Commands++
		}
		*now, number = w, w.Number
		l.see(w)
		return nil
	})
	if err != nil {
		return nil, 0, doing(err, takingCall)
	}
	return l.answers(number), wait, nil
}

// see remembers the state of the ledger.
func (l *Ledger) see(w window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.Number != w.Number {
		l.used = 0
	}
	l.seen = w
}

// answers returns a function that processes the response to a call of that window: the
// rate limit and what remains of it, 0 if unknown, and for how long the service refuses
// calls, 0 if it does not.
func (l *Ledger) answers(number int64) func(ctx context.Context, limit, remaining int, refused time.Duration) error {
	l.mu.Lock()
	usedBefore := 0
	if l.seen.Number == number {
		usedBefore = l.used
	}
	l.mu.Unlock()
	return func(ctx context.Context, limit, remaining int, refused time.Duration) error {
		used := limit - remaining
		// Each call counts, so if the service reports no more calls than before this one, it
		// has started a new window.
		renewed := limit > 0 && refused == 0 && usedBefore > 0 && used <= usedBefore
		learn := func(w *window) { w.learn(number, limit, used, renewed, refused) }
		if !l.isNews(number, used, learn) {
			return nil
		}
		ctx, cancel := aftermath(ctx)
		defer cancel()
		err := l.change(ctx, Request{}, func(_ transaction, now *window) error {
			learn(now)
			l.see(*now)
			return nil
		})
		return doing(err, "recording the API's rate limit")
	}
}

// isNews reports whether a response changes the ledger; most do not.
func (l *Ledger) isNews(number int64, used int, learn func(*window)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.Number == number {
		l.used = max(l.used, used)
	}
	known := l.seen
	learn(&known)
	return known != l.seen
}

// State is the state of an account's budget.
type State struct {
	// Calls is the limit of the window. Taken and Elsewhere are the calls made by scrapehaul
	// and by others.
	Calls     int `json:"calls"`
	Taken     int `json:"taken"`
	Elsewhere int `json:"elsewhere"`
	// Resets is when the window ends, by this process's clock; in the past if none is open.
	Resets time.Time `json:"resets"`
	// Waiting is the number of imports that wait for a later window.
	Waiting int `json:"waiting"`
}

const selectState = `
SELECT calls, taken, elsewhere,
       coalesce(extract(epoch FROM nullif(resets_at, '-infinity') - clock_timestamp()), 0)::float8 AS left,
       (SELECT count(*) FROM scrapehaul.api_waits AS wait
        WHERE wait.account = budget.account AND until > clock_timestamp() - $2::float8 * window_length) AS waiting
FROM scrapehaul.api_budgets AS budget WHERE account = $1`

// State reads the ledger. It returns the zero State before the first call.
func (l *Ledger) State(ctx context.Context) (State, error) {
	var row struct {
		State
		Left float64
	}
	err := l.store.db.GetContext(ctx, &row, selectState, l.account, lapse)
	if errors.Is(err, sql.ErrNoRows) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading the account's budget of API calls: %w", err)
	}
	row.Resets = time.Now().Add(seconds(row.Left))
	return row.State, nil
}
