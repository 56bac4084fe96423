package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
)

func TestPostgreSQLRestarted(t *testing.T) {
	e := register(t, "PostgreSQL is restarted in the import, in its immediate mode, as after a crash",
		"goes on after the last committed batch; nothing that was committed is missing")
	server, databaseURL := postgrestest.NewServer(t)
	c := e.on(t, temporaltest.NewNamespace(t), databaseURL)
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 4000)
	require.NoError(t, server.Restart(t.Context()))
	c.observe("restarted after %s records", grouped(c.requireHalf(id, many)))
	c.requireImported(id, many)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.imports(id))
}

func TestConnectionsTerminated(t *testing.T) {
	// An attempt that hangs must not be helped by its heartbeat timeout.
	c := begin(t, "PostgreSQL terminates all connections in the middle of a batch, three times", "goes on after the last committed batch",
		"HEARTBEAT_TIMEOUT=10m")
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	for _, records := range []int64{2000, 6000, 10_000} {
		c.untilImported(id, records)
		c.WaitFor("a batch under way", func() bool { return c.terminateConnections() > 0 })
		c.observe("terminated after %s records", grouped(c.requireHalf(id, many)))
	}
	c.requireImported(id, many)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.imports(id))
}

// terminateConnections ends all connections of the database but our own, and
// returns how many were in a transaction.
func (c *chaos) terminateConnections() int64 {
	return c.Count(`SELECT count(*) FILTER (WHERE pg_terminate_backend(pid) AND xact_start IS NOT NULL) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}
