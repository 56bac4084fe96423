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

// Tests change these.
var (
	// askAfter and askEvery are when the monitor asks what a statement waits for.
	askAfter = 3 * time.Second
	askEvery = 5 * time.Second
	// maxLockWait limits the wait for a lock, so that the import reports it within a minute.
	maxLockWait = 50 * time.Second
)

// askTimeout limits the monitor's query.
const askTimeout = 5 * time.Second

// silentAfter is longer than the buffers of a slow network take to drain.
const silentAfter = 10 * time.Second

// describeProcess formats a row of pg_stat_activity. Some columns may be hidden for processes
// of other roles.
const describeProcess = `format('process %s (%s, user %s%s)', pid, coalesce(nullif(application_name, ''), 'without application_name'),
    coalesce(usename, 'unknown'), ', ' || state || ', since ' || to_char(coalesce(xact_start, backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')`

// askAboutStatement selects whether the server has finished with the process, which the client
// then does not know, and which processes it waits for: those at the head of the queue, which
// may be our own. PID 0 is a prepared transaction.
const askAboutStatement = `
WITH RECURSIVE blocking AS (
    SELECT unnest(pg_blocking_pids($1::int)) AS pid
    UNION SELECT unnest(pg_blocking_pids(pid)) FROM blocking)
SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1
                   AND (state LIKE 'idle%' AND state_change < clock_timestamp() - interval '10 seconds') IS NOT TRUE),
       coalesce((SELECT string_agg(` + describeProcess + `, ', ' ORDER BY xact_start)
                 FROM pg_stat_activity WHERE pid IN (SELECT pid FROM blocking) AND pg_blocking_pids(pid) <@ '{0}'), '')`

// watch monitors one statement.
type watch struct {
	of    *connection
	timer *time.Timer

	mu      sync.Mutex
	ended   bool
	free    time.Time // when it was last known not to wait for a lock
	waiting string    // the processes it waits for
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
	case err != nil: // unknown
	case silent && w.of.sockets.quiet() >= silentAfter:
		w.of.sockets.hangUp()
		return
	default:
		w.waiting = waiting
		if waiting == "" {
			w.free = time.Now()
		} else if time.Since(w.free) >= maxLockWait-askEvery/2 {
			// Makes the statement return an error.
			_, _ = w.of.of.monitor.ExecContext(ctx, `SELECT pg_cancel_backend($1::int)`, w.of.pid)
		}
	}
	w.timer.Reset(askEvery)
}

// end adds to the error what the statement was waiting for.
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
		return err // it got the lock in the meantime
	}
	return lockWait{w.waiting, err}
}

// lockWait says what a statement waited for, in place of the server's words, which name
// only the cancellation.
type lockWait struct {
	holder string
	err    error
}

func (l lockWait) Error() string {
	return fmt.Sprintf("waiting for a lock held by PostgreSQL %s; pg_terminate_backend ends it", l.holder)
}

func (l lockWait) Unwrap() error { return l.err }
