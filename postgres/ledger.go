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

// Ledger counts the calls of the API that an account of Web Scraper Cloud makes, in
// windows as the service does: so many calls from the first of them on. It is one for
// all processes on the database, whose clock alone counts. As long as the window has
// calls, they are taken at once; after that each who asks is promised a time in a
// later window. It is a webscraper.Budget.
//
// Where calls are scarce, a person's go first, then downloads, then deletions, then
// lists; but what has waited for some windows goes before what comes new. Some calls
// of each window are for people only.
type Ledger struct {
	store   *Store
	account string
	calls   int

	mu   sync.Mutex
	seen window // as this process has seen it last
	used int    // of its calls, as the service has answered to this process
}

// documentedCalls is the limit that the API documents.
const documentedCalls = 200

// NewLedger returns the ledger of an account, known by a key that is no secret, with
// so many calls in each window of 15 minutes. If others have another limit for the
// account, the lowest counts; 0 is that of the others.
func NewLedger(db *sqlx.DB, account string, calls int) *Ledger {
	return &Ledger{store: &Store{db: db}, account: account, calls: calls}
}

// Class says what calls are for.
type Class int

// The classes, in the order in which they go.
const (
	CallsByHand Class = iota
	CallsForDownloads
	CallsForDeletions
	CallsForLists
	callsOfCommands
)

// behind is by how many windows a class is put behind downloads that are asked for at
// the same time.
func (c Class) behind() float64 { return [...]float64{-1000, 0, 4, 8, 1000}[c] }

// Request asks for calls.
type Request struct {
	// Holder is who waits if there are none, a workflow by its ID.
	Holder string
	Class  Class
	// Calls is how many are made for this alone. Look is set when one more is needed,
	// which others may share.
	Calls int
	Look  bool
}

func (r Request) needs() int {
	if r.Check {
		return r.Calls + 1
	}
	return r.Calls
}

// Reserve takes calls. If there are none, it returns for how long the holder waits
// before it asks again: its place is kept. A few seconds it waits itself.
func (l *Ledger) Reserve(ctx context.Context, r Request) (*Grant, time.Duration, error) {
	for started := time.Now(); ; {
		number, wait, err := l.reserve(ctx, r)
		if err != nil {
			return nil, 0, fmt.Errorf("taking calls of the API from the account's budget: %w", err)
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

// reserve takes the calls, or notes that they are waited for.
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

// take takes the calls in one statement, if the window has plenty and nobody waits, which is
// most often so; otherwise it returns 0.
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

// Grant has calls that were taken for somebody. What is made with a context of it is of
// these calls.
type Grant struct {
	ledger *Ledger
	class  Class
	window int64
	left   atomic.Int64
}

type grantKey struct{}

// Context returns a context whose calls are the grant's.
func (g *Grant) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// Shared returns a context whose calls are taken one by one, none of them from the
// grant: others have a share in them.
func (g *Grant) Shared(ctx context.Context) context.Context {
	return context.WithValue(ctx, grantKey{}, &Grant{class: g.class})
}

// Release gives back the calls that were not made.
func (g *Grant) Release(ctx context.Context) error {
	left := int(g.left.Swap(0))
	if left <= 0 {
		return nil
	}
	ctx, cancel := aftermath(ctx)
	defer cancel()
	_, err := g.ledger.store.exec(ctx, returnCalls, g.ledger.account, g.window, left)
	return doing(because(ctx, err), "giving %d calls back to the account's budget", left)
}

// aftermath is for what has to be written after a call, however that ended.
func aftermath(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), maxPatience)
}

const takingCall = "taking a call of the API from the account's budget"

// Take takes one call, of the grant of the context if it has one; see
// webscraper.Budget. Without a grant it is a person's, for a command: that is made at
// once, but beyond those that are for people only, none that this window has promised
// to others is taken, however often the command is run.
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
		if granted { // it belongs to what had its turn
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

// see notes what the ledger says.
func (l *Ledger) see(w window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.Number != w.Number {
		l.used = 0
	}
	l.seen = w
}

// answers returns what takes in the answer to a call of a window: the limit and how
// much of it is left, 0 if it does not say, and for how long the service refuses calls,
// 0 if it does not.
func (l *Ledger) answers(number int64) func(ctx context.Context, limit, remaining int, refused time.Duration) error {
	l.mu.Lock()
	usedBefore := 0
	if l.seen.Number == number {
		usedBefore = l.used
	}
	l.mu.Unlock()
	return func(ctx context.Context, limit, remaining int, refused time.Duration) error {
		used := limit - remaining
		// Each call counts, so an answer that knows of no more than those before the
		// call is of a window that the service has begun since.
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
		return doing(err, "noting what the API says of its limit")
	}
}

// isNews says whether there is anything to learn from an answer: from most there is not.
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

// State is what the ledger says of an account.
type State struct {
	// Calls is how many calls the window has, Taken and Elsewhere how many of them
	// were made by scrapehaul and by others.
	Calls     int `json:"calls"`
	Taken     int `json:"taken"`
	Elsewhere int `json:"elsewhere"`
	// Resets is when the next window may begin, by this process's clock; in the past,
	// if none is open.
	Resets time.Time `json:"resets"`
	// Waiting is how many imports wait for a later window.
	Waiting int `json:"waiting"`
}

const selectState = `
SELECT calls, taken, elsewhere,
       coalesce(extract(epoch FROM nullif(resets_at, '-infinity') - clock_timestamp()), 0)::float8 AS left,
       (SELECT count(*) FROM scrapehaul.api_waits AS wait
        WHERE wait.account = budget.account AND until > clock_timestamp() - $2::float8 * window_length) AS waiting
FROM scrapehaul.api_budgets AS budget WHERE account = $1`

// State reads the ledger. Before the first call it is the zero State.
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
