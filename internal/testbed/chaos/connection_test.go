package chaos

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestConnectionsGoSilent(t *testing.T) {
	c := begin(t, "all connections to PostgreSQL go silent during the import, as when a NAT drops them; the worker has one slot, and another job waits",
		"within twice HEARTBEAT_TIMEOUT, the import resumes over new connections; the other job gets its turn", "MAX_CONCURRENT_IMPORTS=1", "HEARTBEAT_TIMEOUT=12s")
	proxy, through := networkproxy.New(t, c.Env.DatabaseURL)
	c.Env.DatabaseURL = through
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 3000)
	proxy.Silence()
	silent, before := time.Now(), c.requireHalf(id, many)
	other := c.finished(100)
	c.WaitFor("more batches", func() bool { return c.committed(id) > before+1000 || c.visible(id) > 0 })
	took := time.Since(silent)
	require.Less(t, took, 24*time.Second, "twice HEARTBEAT_TIMEOUT")
	c.observe("silent after %s records; resumed after %.0f s (HEARTBEAT_TIMEOUT: 12 s)", grouped(before), took.Seconds())
	c.Result(other) // so that its file is removed, too
	c.requireImported(id, many)
	c.requireImported(other, 100)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.imports(id))
}

func TestBackendFrozen(t *testing.T) {
	e := register(t, "PostgreSQL's backend for a batch is frozen (SIGSTOP) with the import's row locked; a minute later it resumes",
		"within a minute, the failure names the blocking process; then the import resumes")
	_, databaseURL := postgrestest.NewServer(t)
	c := e.on(t, temporaltest.NewNamespace(t), databaseURL)
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 3000)
	var pid int
	c.WaitFor("a locked row", func() bool {
		return c.DB.Get(&pid, `SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%UPDATE scrapehaul.imports%'`) == nil
	})
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	frozen := time.Now()
	says := fmt.Sprintf("waiting for a lock held by PostgreSQL process %d (scrapehaul import of scraping job %d, ", pid, id)
	c.failure(id, says)
	took := time.Since(frozen)
	require.Less(t, took, time.Minute)
	require.Contains(t, c.Log.String(), says)
	c.observe("after %.0f s the failure said: “…%s…)”", took.Seconds(), says)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	c.requireImported(id, many)
}

func TestMigrationLockHeld(t *testing.T) {
	c := begin(t, "another session holds the migration lock while a worker starts", "after a few seconds the worker logs who holds it, and it starts as soon as the lock is free")
	holder, err := c.DB.Connx(t.Context())
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), `SELECT set_config('application_name', 'a person', false), pg_advisory_lock(x'7363726170656861'::bigint)`)
	require.NoError(t, err)
	released := make(chan error, 1)
	go func() {
		assert.Eventually(t, func() bool { return strings.Contains(c.Log.String(), "(a person, ") }, 20*time.Second, 20*time.Millisecond)
		_, err := holder.ExecContext(t.Context(), `SELECT pg_advisory_unlock_all()`)
		released <- err
	}()
	c.worker(c.Spool)
	require.NoError(t, <-released)
	require.NoError(t, holder.Close())
	require.Contains(t, c.Log.String(), "the migration lock of schema scrapehaul is held by PostgreSQL process ")
	c.observe("“waiting: the migration lock of schema scrapehaul is held by PostgreSQL process … (a person, user …)”")
	c.requireImported(c.finished(100), 100)
}

func TestTimeoutsOfTheDatabase(t *testing.T) {
	c := begin(t, "the database has statement_timeout, idle_in_transaction_session_timeout and lock_timeout of 100 ms, and batches and publishing take longer; the sitemap is mapped",
		"imports lift them")
	name := path.Base(c.Env.DatabaseURL[:strings.Index(c.Env.DatabaseURL, "?")])
	for _, timeout := range []string{"statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"} {
		c.DB.MustExec(`ALTER DATABASE ` + name + ` SET ` + timeout + ` = '100ms'`)
	}
	c.DB.MustExec(`CREATE TABLE public.timed (scrapingjob_id bigint, product text)`)
	mappings := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(mappings, []byte("mappings: [{sitemap: timed, table: timed, columns: [{name: product, type: text}], mode: replace-job}]"), 0o600))
	c.Env = c.Env.With("MAPPINGS", mappings)
	c.worker(c.Spool)
	c.DB.MustExec(`
		CREATE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
		CREATE TRIGGER slow AFTER UPDATE OF state, committed_bytes ON scrapehaul.imports FOR EACH STATEMENT EXECUTE FUNCTION scrapehaul.slow()`)
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "timed", Records: webscrapertest.Products(1000, 1)})
	c.Notify(id)
	c.requireImported(id, 1000)
	require.Equal(t, int64(1000), c.Count(`SELECT count(*) FROM public.timed`))
}

func TestServerBecomesReadOnly(t *testing.T) {
	e := register(t, "PostgreSQL becomes read-only during the import (default_transaction_read_only), and writable again later",
		"nothing is lost, nothing is deleted meanwhile, and the import resumes by itself")
	_, databaseURL := postgrestest.NewServer(t)
	c := e.on(t, temporaltest.NewNamespace(t), databaseURL)
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 3000)
	readOnly := func(value string) {
		conn, err := c.DB.Connx(t.Context())
		require.NoError(t, err)
		for _, statement := range []string{`SET default_transaction_read_only = off`, `ALTER SYSTEM SET default_transaction_read_only = ` + value, `SELECT pg_reload_conf()`} {
			_, err := conn.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close())
	}
	readOnly("on")
	c.failure(id, "the server is a standby or read-only")
	records := c.requireHalf(id, many)
	c.requireInCloud(id)
	c.observe("read-only after %s records", grouped(records))
	readOnly("off")
	c.requireImported(id, many)
	require.Equal(t, int64(1), c.imports(id))
}

func TestThroughPgBouncer(t *testing.T) {
	c := begin(t, "worker and starter reach PostgreSQL through PgBouncer in session mode, and all its connections are terminated during the import", "works as it does without PgBouncer")
	c.Env.DatabaseURL = postgrestest.NewPgBouncer(t, c.Env.DatabaseURL, "session")
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 3000)
	c.WaitFor("a running batch", func() bool { return c.terminateConnections() > 0 })
	c.requireImported(id, many)
	require.Equal(t, int64(1), c.imports(id))
}

func TestFailover(t *testing.T) {
	e := register(t, "the primary server is lost during the import, and its asynchronous standby is promoted later; DATABASE_URL names both",
		"the standby is not used before; the import resumes after the replicated batches")
	server, databaseURL := postgrestest.NewServer(t)
	standby := postgrestest.NewStandby(t, server)
	first, err := url.Parse(databaseURL)
	require.NoError(t, err)
	name := strings.TrimPrefix(first.Path, "/")
	second, err := url.Parse(standby.URL(name))
	require.NoError(t, err)
	both := *first
	both.Host = ""
	both.RawQuery += "&target_session_attrs=primary&host=" + first.Hostname() + "," + second.Hostname() + "&port=" + first.Port() + "," + second.Port()
	c := e.on(t, temporaltest.NewNamespace(t), both.String())
	c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 4000)
	records := c.requireHalf(id, many)
	require.NoError(t, server.Lose())
	c.failure(id, "hot standby mode")
	db := sqlx.MustOpen("postgres", second.String())
	defer db.Close()
	db.MustExec(`SELECT pg_promote()`)
	c.observe("lost after %s records, no answer from the standby before its promotion", grouped(records))
	c.requireImported(id, many)
}

// failure waits until an attempt of the import fails with that text, and returns the
// message.
func (c *chaos) failure(id int64, says string) (message string) {
	c.T.Helper()
	c.WaitForAnswer(says, func() bool {
		for _, pending := range c.describe(id).GetPendingActivities() {
			message = pending.GetLastFailure().GetMessage()
		}
		return strings.Contains(message, says)
	})
	return message
}
