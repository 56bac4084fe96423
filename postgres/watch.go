package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// Variables for the tests.
var (
	// askAfter and askEvery are when the server is asked what a statement waits for.
	askAfter = 3 * time.Second
	askEvery = 5 * time.Second
	// maxLockWait ends the wait for a lock, so that a person learns of it within a
	// minute.
	maxLockWait = 50 * time.Second
)

// askTimeout is for the monitor.
const askTimeout = 5 * time.Second

// silentAfter is longer than what is in the buffers of a slow network takes to arrive.
const silentAfter = 10 * time.Second

// describeProcess is a line about a row of pg_stat_activity. Of another role's
// process not everything may be seen.
const describeProcess = `format('process %s (%s, user %s%s)', pid, coalesce(nullif(application_name, ''), 'without application_name'),
    coalesce(usename, 'unknown'), ', ' || state || ', since ' || to_char(coalesce(xact_start, backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')`

// askAboutStatement says whether the server has nothing to do for the process any
// more, which the client then does not know, and who keeps it waiting: who is at the
// head of those who wait in a row, which may be our own. 0 is a prepared transaction.
const askAboutStatement = `
WITH RECURSIVE blocking AS (
    SELECT unnest(pg_blocking_pids($1::int)) AS pid
    UNION SELECT unnest(pg_blocking_pids(pid)) FROM blocking)
SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1
                   AND (state LIKE 'idle%' AND state_change < clock_timestamp() - interval '10 seconds') IS NOT TRUE),
       coalesce((SELECT string_agg(` + describeProcess + `, ', ' ORDER BY xact_start)
                 FROM pg_stat_activity WHERE pid IN (SELECT pid FROM blocking) AND pg_blocking_pids(pid) <@ '{0}'), '')`

// watch is over one statement.
type watch struct {
	of    *connection
	timer *time.Timer

	mu      sync.Mutex
	ended   bool
	free    time.Time // when it is last known to have waited for no lock
	waiting string    // for what
}

func (c *connection) watch() *watch {
	w := &watch{of: c, free: time.Now()}
	if c.of.monitor != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.timer = time.AfterFunc(askAfter, w.ask)
	}
	return w
}

func (w *watch) ask() {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	var (
		silent  bool
		waiting string
	)
	err := w.of.of.monitor.QueryRowContext(ctx, askAboutStatement, w.of.pid).Scan(&silent, &waiting)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
		return
	case err != nil: // nobody can say
	case silent && w.of.sockets.quiet() >= silentAfter:
		w.of.sockets.hangUp()
		return
	default:
		w.waiting = waiting
		if waiting == "" {
			w.free = time.Now()
		} else if time.Since(w.free) >= maxLockWait-askEvery/2 {
			// The statement then returns with an error.
			_, _ = w.of.of.monitor.ExecContext(ctx, `SELECT pg_cancel_backend($1::int)`, w.of.pid)
		}
	}
	w.timer.Reset(askEvery)
}

// end adds to the error what the statement has waited for.
func (w *watch) end(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.of.note(err)
	if err == nil || w.waiting == "" || errors.Is(err, driver.ErrBadConn) {
		return err
	}
	if pq.As(err) != nil && pq.As(err, pqerror.QueryCanceled, pqerror.LockNotAvailable) == nil {
		return err // it has got the lock since
	}
	return fmt.Errorf("waiting for a lock of PostgreSQL's %s, which pg_terminate_backend ends: %w", w.waiting, err)
}
