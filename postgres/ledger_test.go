package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const quarter = 15 * time.Minute

// ledgers creates ledgers of one account.
type ledgers struct {
	t  *testing.T
	db *sqlx.DB
}

func newLedgers(t *testing.T) *ledgers {
	t.Helper()
	t.Parallel()
	db := connect(t, schematest.NewDatabase(t))
	return &ledgers{t, db}
}

func (l *ledgers) of(calls int) *postgres.Ledger {
	return postgres.NewLedger(l.db, sink.DefaultAccount, calls)
}

// passes simulates that time passes: it makes windows and promises that much older.
func (l *ledgers) passes(d time.Duration) {
	l.t.Helper()
	for _, statement := range []string{
		`UPDATE scrapehaul.api_budgets SET resets_at = resets_at - $1 * interval '1 second'`,
		`UPDATE scrapehaul.api_waits SET until = until - $1 * interval '1 second', place = place - $1 * interval '1 second'`,
	} {
		_, err := l.db.ExecContext(l.t.Context(), statement, d.Seconds())
		require.NoError(l.t, err)
	}
}

func (l *ledgers) state() postgres.State {
	l.t.Helper()
	state, err := l.of(1).State(l.t.Context())
	require.NoError(l.t, err)
	return state
}

// asks reserves calls and returns the wait, 0 for a grant.
func asks(t *testing.T, ledger *postgres.Ledger, class postgres.Class, holder string, calls int) time.Duration {
	t.Helper()
	_, wait, err := ledger.Reserve(t.Context(), postgres.Request{Holder: holder, Class: class, Calls: calls})
	require.NoError(t, err)
	return wait
}

func requireAbout(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, want, got, float64(time.Minute), "%s, not about %s", got, want)
}

func TestCallsAreGrantedImmediatelyUntilTheWindowIsUsedUp(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	require.Zero(t, l.state())
	for n := range 195 {
		require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(n), 1))
	}
	requireAbout(t, quarter, asks(t, ledger, postgres.CallsForDownloads, "next", 1))
	state := l.state()
	require.Equal(t, []int{200, 195, 0, 1}, []int{state.Calls, state.Taken, state.Elsewhere, state.Waiting})
	requireAbout(t, quarter, time.Until(state.Resets))

	for n := range 5 { // reserved for operators
		require.Zero(t, asks(t, ledger, postgres.ManualCalls, fmt.Sprint("person", n), 1))
	}
	requireAbout(t, quarter, asks(t, ledger, postgres.ManualCalls, "person", 1))
}

func TestWaitingHoldersArePromisedAWindow(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(100)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 98))
	promised := map[time.Duration]int{}
	for n := range 200 {
		promised[asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(n), 1).Round(quarter)]++
	}
	require.Equal(t, map[time.Duration]int{quarter: 94, 2 * quarter: 94, 3 * quarter: 12}, promised, "some are left for shared checks")

	l.passes(quarter + time.Second)
	for n := range 94 {
		require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(n), 1), "each gets what it was promised")
	}
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "new", 4), "the rest of this window is free")
	requireAbout(t, 2*quarter, asks(t, ledger, postgres.CallsForDownloads, "later", 1))
}

func TestPriorityWhenCallsAreScarce(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(10)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 10))
	wants := []struct {
		class  postgres.Class
		holder string
		want   time.Duration
	}{
		{postgres.CallsForLists, "list", quarter},
		{postgres.CallsForDeletions, "deletion", quarter},
		{postgres.CallsForDownloads, "download", quarter},
		{postgres.ManualCalls, "person", quarter},
	}
	for _, each := range wants {
		requireAbout(t, each.want, asks(t, ledger, each.class, each.holder, 9))
	}
	l.passes(quarter + time.Second)
	requireAbout(t, 3*quarter, asks(t, ledger, postgres.CallsForLists, "list", 9))
	requireAbout(t, 2*quarter, asks(t, ledger, postgres.CallsForDeletions, "deletion", 9))
	require.Zero(t, asks(t, ledger, postgres.ManualCalls, "person", 9))
	requireAbout(t, quarter, asks(t, ledger, postgres.CallsForDownloads, "download", 9))
}

func TestNothingStarves(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(10)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 10))
	require.NotZero(t, asks(t, ledger, postgres.CallsForDeletions, "deletion", 5))
	for window := range 10 {
		l.passes(quarter + time.Second)
		for n := range 3 { // more than the window has
			asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(window, n), 5)
		}
		if asks(t, ledger, postgres.CallsForDeletions, "deletion", 5) == 0 {
			require.Greater(t, window, 2)
			return
		}
	}
	t.Fatal("a deletion has waited for ten windows")
}

func TestRepeatedCommandsTakeNoPromisedCalls(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(80) // 2 of them for operators
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 78))
	for n := range 10 { // 70 calls of the next window
		require.NotZero(t, asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(n), 7))
	}
	commands := func() (made int) {
		for ; ; made++ {
			_, wait, err := ledger.Take(t.Context())
			require.NoError(t, err)
			if wait > 0 {
				requireAbout(t, quarter, wait)
				return made
			}
		}
	}
	require.Equal(t, 2, commands())
	l.passes(quarter + time.Second)
	require.Equal(t, 80-70, commands())
	for n := range 10 {
		require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, fmt.Sprint(n), 7))
	}

	require.NotZero(t, asks(t, ledger, postgres.CallsForDownloads, "next", 7))
	l.passes(quarter + time.Second)
	l.passes(quarter / 2)
	require.Equal(t, 80, commands(), "unclaimed promises lapse")
}

func TestAnOperatorRaisesThePriorityOfAWaitingRequest(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 195))
	require.NotZero(t, asks(t, ledger, postgres.CallsForDownloads, "1234", 2))
	require.Zero(t, asks(t, ledger, postgres.ManualCalls, "1234", 2))
	require.Zero(t, l.state().Waiting)
}

func TestUnclaimedPromisesLapse(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(10)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "all", 10))
	require.NotZero(t, asks(t, ledger, postgres.CallsForDownloads, "terminated", 9))
	l.passes(quarter + time.Second)
	require.NotZero(t, asks(t, ledger, postgres.CallsForDeletions, "deletion", 9))
	l.passes(quarter / 3)
	require.Zero(t, asks(t, ledger, postgres.CallsForDeletions, "deletion", 9))
}

func TestUnusedCallsAreReturned(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(10)
	grant, wait, err := ledger.Reserve(t.Context(), postgres.Request{Holder: "1", Class: postgres.CallsForDownloads, Calls: 3})
	require.NoError(t, err)
	require.Zero(t, wait)
	ctx := grant.Context(t.Context())
	for range 4 { // one more than the grant has
		_, wait, err = ledger.Take(ctx)
		require.NoError(t, err)
		require.Zero(t, wait)
	}
	require.Equal(t, 4, l.state().Taken)
	require.NoError(t, grant.Release(t.Context()))
	require.Equal(t, 4, l.state().Taken)

	grant, _, err = ledger.Reserve(t.Context(), postgres.Request{Holder: "1", Class: postgres.CallsForDownloads, Calls: 3})
	require.NoError(t, err)
	_, _, err = ledger.Take(grant.Context(t.Context()))
	require.NoError(t, err)
	require.NoError(t, grant.Release(t.Context()))
	require.NoError(t, grant.Release(t.Context()))
	require.Equal(t, 5, l.state().Taken)
}

// take makes a call that the service answers with these values.
func take(t *testing.T, ledger *postgres.Ledger, limit, remaining int, refused time.Duration) {
	t.Helper()
	answered, wait, err := ledger.Take(t.Context())
	require.NoError(t, err)
	require.Zero(t, wait)
	require.NoError(t, answered(t.Context(), limit, remaining, refused))
}

func TestCallsByOthersCount(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	take(t, ledger, 200, 199, 0)
	require.Zero(t, l.state().Elsewhere)
	take(t, ledger, 200, 98, 0) // a hundred in between
	state := l.state()
	require.Equal(t, []int{2, 100}, []int{state.Taken, state.Elsewhere})
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "1", 95), "the other 2 came from the operators' calls")
	requireAbout(t, quarter, asks(t, l.of(200), postgres.CallsForDownloads, "2", 1))
}

func TestRefusalEndsTheWindow(t *testing.T) {
	l := newLedgers(t)
	take(t, l.of(200), 200, 0, 7*time.Minute)
	requireAbout(t, 7*time.Minute, asks(t, l.of(200), postgres.CallsForDownloads, "1", 1))
	l.passes(7*time.Minute + time.Second)
	require.Zero(t, asks(t, l.of(200), postgres.CallsForDownloads, "1", 1))
	require.Equal(t, 1, l.state().Taken)
}

// The service's window started with another program's call, some time before ours.
func TestWindowRestartsWithTheServices(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	take(t, ledger, 200, 50, 0)
	l.passes(10 * time.Minute)
	take(t, ledger, 200, 199, 0)
	state := l.state()
	require.Equal(t, []int{1, 0}, []int{state.Taken, state.Elsewhere})
	requireAbout(t, quarter, time.Until(state.Resets))
}

// The service's window starts between sending and answering its first call.
func TestWindowEndsNoEarlierThanTheServices(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	answered, _, err := ledger.Take(t.Context())
	require.NoError(t, err)
	l.passes(time.Minute) // a slow answer
	require.NoError(t, answered(t.Context(), 200, 199, 0))
	require.InDelta(t, quarter, time.Until(l.state().Resets), float64(10*time.Second))
	take(t, ledger, 200, 198, 0)
	l.passes(time.Minute)
	take(t, ledger, 200, 197, 0)
	require.InDelta(t, quarter-time.Minute, time.Until(l.state().Resets), float64(10*time.Second))
}

func TestTheLowestLimitApplies(t *testing.T) {
	for _, order := range [][]int{{200, 100}, {100, 200}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			l := newLedgers(t)
			for n, calls := range order {
				require.Zero(t, asks(t, l.of(calls), postgres.CallsForDownloads, fmt.Sprint(n), 1))
			}
			require.Zero(t, asks(t, l.of(200), postgres.CallsForDownloads, "1", 96))
			require.NotZero(t, asks(t, l.of(200), postgres.CallsForDownloads, "2", 1))
		})
	}
	t.Run("the service's", func(t *testing.T) {
		l := newLedgers(t)
		take(t, l.of(200), 60, 59, 0)
		require.Equal(t, 60, l.state().Calls)
	})
}

func TestARequestLargerThanTheWindowIsGranted(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(1)
	for range 3 {
		_, wait, err := ledger.Reserve(t.Context(), postgres.Request{Holder: "1", Class: postgres.CallsForLists, Calls: 1, Check: true})
		require.NoError(t, err)
		require.Zero(t, wait)
		l.passes(quarter + time.Second)
	}
}

// Two workers and a starter at random.
func TestProcessesShareTheLimit(t *testing.T) {
	l := newLedgers(t)
	var mu sync.Mutex
	granted := 0
	var running sync.WaitGroup
	for process := range 3 {
		ledger := l.of(100)
		for n := range 4 {
			running.Go(func() {
				for range 20 {
					class := postgres.Class(1 + rand.IntN(3))
					grant, wait, err := ledger.Reserve(t.Context(), postgres.Request{Holder: fmt.Sprint(process, n), Class: class, Calls: 2})
					if err != nil {
						t.Error(err)
						return
					}
					if wait > 0 {
						continue
					}
					mu.Lock()
					granted += 2
					mu.Unlock()
					if rand.IntN(4) == 0 {
						if _, _, err := ledger.Take(grant.Context(t.Context())); err != nil {
							t.Error(err)
						}
						mu.Lock()
						granted--
						mu.Unlock()
						if err := grant.Release(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	running.Wait()
	state := l.state()
	require.Equal(t, granted, state.Taken)
	require.LessOrEqual(t, state.Taken, 98)
	require.GreaterOrEqual(t, state.Taken, 90)
}

func TestALockedLedgerIsATemporaryError(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(200)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "1", 1))
	tx, err := l.db.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `SELECT FROM scrapehaul.api_budgets FOR UPDATE`)
	require.NoError(t, err)
	_, _, err = ledger.Reserve(t.Context(), postgres.Request{Holder: "2", Class: postgres.CallsForDownloads, Calls: 1})
	require.NotNil(t, pq.As(err, pqerror.LockNotAvailable), "%v", err)
	require.NoError(t, tx.Rollback())
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "2", 1))
}

func TestReserveWaitsAFewSecondsItself(t *testing.T) {
	l := newLedgers(t)
	ledger := l.of(10)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "1", 10))
	l.passes(quarter - 2*time.Second)
	require.Zero(t, asks(t, ledger, postgres.CallsForDownloads, "2", 10))

	l.passes(quarter - 4*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, _, err := ledger.Reserve(ctx, postgres.Request{Holder: "3", Class: postgres.CallsForDownloads, Calls: 10})
	require.ErrorIs(t, err, context.Canceled)
}
