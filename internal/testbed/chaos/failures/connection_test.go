package failures

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

	"github.com/dustin/go-humanize"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestConnectionsGoSilent(t *testing.T) {
	c := chaos.Begin(t, "all connections to PostgreSQL go silent during the import, as when a NAT drops them; the worker has one slot, and another job waits",
		"within twice HEARTBEAT_TIMEOUT, the import resumes over new connections; the other job gets its turn", "MAX_CONCURRENT_IMPORTS=1", "HEARTBEAT_TIMEOUT=12s")
	proxy, through := networkproxy.New(t, c.Env.DatabaseURL)
	c.Env.DatabaseURL = through
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 3000)
	proxy.Silence()
	silent, before := time.Now(), c.RequireHalf(id, chaos.Many)
	other := c.Finished(100)
	c.WaitFor("more batches", func() bool { return c.Committed(id) > before+1000 || c.Visible(id) > 0 })
	took := time.Since(silent)
	require.Less(t, took, 24*time.Second, "twice HEARTBEAT_TIMEOUT")
	c.Observe("silent after %s records; resumed after %.0f s (HEARTBEAT_TIMEOUT: 12 s)", humanize.Comma(before), took.Seconds())
	c.Result(other) // so that its file is removed, too
	c.RequireImported(id, chaos.Many)
	c.RequireImported(other, 100)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.Imports(id))
}

func TestBackendFrozen(t *testing.T) {
	e := chaos.Register(t, "PostgreSQL's backend for a batch is frozen (SIGSTOP) with the import's row locked; a minute later it resumes",
		"within a minute, the failure names the blocking process; then the import resumes")
	_, databaseURL := postgrestest.NewServer(t)
	c := e.On(t, temporaltest.NewNamespace(t), databaseURL)
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 3000)
	var pid int
	c.WaitFor("a locked row", func() bool {
		return c.DB.Get(&pid, `SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%UPDATE scrapehaul.imports%'`) == nil
	})
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	frozen := time.Now()
	says := fmt.Sprintf("waiting for a lock held by PostgreSQL process %d (scrapehaul import of scraping job %d, ", pid, id)
	c.Failure(id, says)
	took := time.Since(frozen)
	require.Less(t, took, time.Minute)
	require.Contains(t, c.Log.String(), says)
	c.Observe("after %.0f s the failure said: “…%s…)”", took.Seconds(), says)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	c.RequireImported(id, chaos.Many)
}

func TestMigrationLockHeld(t *testing.T) {
	c := chaos.Begin(t, "another session holds the migration lock while a worker starts", "after a few seconds the worker logs who holds it, and it starts as soon as the lock is free")
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
	c.Worker(c.Spool)
	require.NoError(t, <-released)
	require.NoError(t, holder.Close())
	require.Contains(t, c.Log.String(), "the migration lock of schema scrapehaul is held by PostgreSQL process ")
	c.Observe("“waiting: the migration lock of schema scrapehaul is held by PostgreSQL process … (a person, user …)”")
	c.RequireImported(c.Finished(100), 100)
}

func TestTimeoutsOfTheDatabase(t *testing.T) {
	c := chaos.Begin(t, "the database has statement_timeout, idle_in_transaction_session_timeout and lock_timeout of 100 ms, and batches and publishing take longer; the sitemap is mapped",
		"imports lift them")
	name := path.Base(c.Env.DatabaseURL[:strings.Index(c.Env.DatabaseURL, "?")])
	for _, timeout := range []string{"statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"} {
		c.DB.MustExec(`ALTER DATABASE ` + name + ` SET ` + timeout + ` = '100ms'`)
	}
	c.DB.MustExec(`CREATE TABLE public.timed (scrapingjob_id bigint, product text)`)
	mappings := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(mappings, []byte("mappings: [{sitemap: timed, table: timed, columns: [{name: product, type: text}], mode: replace-job}]"), 0o600))
	c.Env = c.Env.With("MAPPINGS", mappings)
	c.Worker(c.Spool)
	c.DB.MustExec(`
		CREATE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
		CREATE TRIGGER slow AFTER UPDATE OF state, committed_bytes ON scrapehaul.imports FOR EACH STATEMENT EXECUTE FUNCTION scrapehaul.slow()`)
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "timed", Records: webscrapertest.Products(1000, 1)})
	c.Notify(id)
	c.RequireImported(id, 1000)
	require.Equal(t, int64(1000), c.Count(`SELECT count(*) FROM public.timed`))
}

func TestServerBecomesReadOnly(t *testing.T) {
	e := chaos.Register(t, "PostgreSQL becomes read-only during the import (default_transaction_read_only), and writable again later",
		"nothing is lost, nothing is deleted meanwhile, and the import resumes by itself")
	_, databaseURL := postgrestest.NewServer(t)
	c := e.On(t, temporaltest.NewNamespace(t), databaseURL)
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 3000)
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
	c.Failure(id, "the server is a standby or read-only")
	records := c.RequireHalf(id, chaos.Many)
	c.RequireInCloud(id)
	c.Observe("read-only after %s records", humanize.Comma(records))
	readOnly("off")
	c.RequireImported(id, chaos.Many)
	require.Equal(t, int64(1), c.Imports(id))
}

func TestThroughPgBouncer(t *testing.T) {
	c := chaos.Begin(t, "worker and starter reach PostgreSQL through PgBouncer in session mode, and all its connections are terminated during the import", "works as it does without PgBouncer")
	c.Env.DatabaseURL = postgrestest.NewPgBouncer(t, c.Env.DatabaseURL, "session")
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 3000)
	c.WaitFor("a running batch", func() bool { return terminateConnections(c) > 0 })
	c.RequireImported(id, chaos.Many)
	require.Equal(t, int64(1), c.Imports(id))
}

func TestFailover(t *testing.T) {
	e := chaos.Register(t, "the primary server is lost during the import, and its asynchronous standby is promoted later; DATABASE_URL names both",
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
	c := e.On(t, temporaltest.NewNamespace(t), both.String())
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	records := c.RequireHalf(id, chaos.Many)
	require.NoError(t, server.Lose())
	c.Failure(id, "hot standby mode")
	db := sqlx.MustOpen("postgres", second.String())
	defer db.Close()
	db.MustExec(`SELECT pg_promote()`)
	c.Observe("lost after %s records, no answer from the standby before its promotion", humanize.Comma(records))
	c.RequireImported(id, chaos.Many)
}
