package postgresserver

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

// A test of two processes runs the test binary again with this set.
const roleVariable = "POSTGRESSERVER_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "server" {
		beServer()
	}
	os.Exit(m.Run())
}

func startServer(t *testing.T, opts Options) *Server {
	t.Helper()
	fulltier.Needs(t, "a PostgreSQL server")
	opts.OwnCluster = true
	opts.Progress = progressToStderr
	server, err := Start(t.Context(), opts)
	require.NoError(t, err)
	return server
}

func progressToStderr(step string) { fmt.Fprintln(os.Stderr, step) }

func connect(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func queryString(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var value string
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&value))
	return value
}

func TestDatabasesAreEmptySeparateAndUTF8(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{NoSync: true})
	first, dropFirst, err := server.CreateDatabase(t.Context(), "imports")
	require.NoError(t, err)
	second, _, err := server.CreateDatabase(t.Context(), "imports")
	require.NoError(t, err)
	require.NotEqual(t, first, second)

	db := connect(t, first)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE products (name text)")
	require.NoError(t, err)
	require.Equal(t, "UTF8", queryString(t, db, "SHOW server_encoding"))
	require.Equal(t, "0", queryString(t, connect(t, second), "SELECT count(*) FROM pg_tables WHERE tablename = 'products'"))

	require.NoError(t, dropFirst(t.Context()), "while there is a connection")
	require.ErrorContains(t, connect(t, first).PingContext(t.Context()), "does not exist")
	require.NoError(t, server.Stop())
}

func TestStopLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{NoSync: true})
	require.DirExists(t, server.cluster.dir)

	require.NoError(t, server.Stop())
	require.NoDirExists(t, server.cluster.dir)
	require.Error(t, connect(t, server.url.String()).PingContext(t.Context()))
}

func TestConnectingNeedsThePassword(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{NoSync: true})
	wrong := *server.url
	wrong.User = url.UserPassword(superuser, "guessed")
	require.ErrorContains(t, connect(t, wrong.String()).PingContext(t.Context()), "password authentication failed")
	require.NoError(t, server.Stop())
}

func TestCommittedRowsSurviveARestart(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{})
	databaseURL, _, err := server.CreateDatabase(t.Context(), "imports")
	require.NoError(t, err)
	db := connect(t, databaseURL)
	require.Equal(t, "on", queryString(t, db, "SHOW fsync"))
	_, err = db.ExecContext(t.Context(), "CREATE TABLE products AS SELECT 'IdeaTab A3500L' AS name")
	require.NoError(t, err)

	open, err := db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, server.Restart(t.Context()))

	require.Error(t, open.PingContext(t.Context()), "a connection from before")
	require.Equal(t, "IdeaTab A3500L", queryString(t, db, "SELECT name FROM products"))
	require.NoError(t, server.Stop())
}

func TestServerOfDatabaseURLIsUsedAndCleanedUp(t *testing.T) {
	running := startServer(t, Options{NoSync: true})
	t.Setenv("DATABASE_URL", running.url.String())

	server, err := Start(t.Context(), Options{})
	require.NoError(t, err)
	databaseURL, _, err := server.CreateDatabase(t.Context(), "imports")
	require.NoError(t, err)
	created, err := url.Parse(databaseURL)
	require.NoError(t, err)
	require.Equal(t, running.url.Host, created.Host)
	require.NoError(t, connect(t, databaseURL).PingContext(t.Context()))
	require.ErrorIs(t, server.Restart(t.Context()), ErrNotOurs)

	require.NoError(t, server.Stop())
	require.ErrorContains(t, connect(t, databaseURL).PingContext(t.Context()), "does not exist")
	require.NoError(t, running.Stop())
}

func TestWrongDatabaseURLIsReportedWithoutItsPassword(t *testing.T) {
	for databaseURL, want := range map[string]string{
		"host=db password=sesame":              "DATABASE_URL must have the form",
		"mysql://me:sesame@127.0.0.1:3306/app": "DATABASE_URL must have the form",
		"postgres://me:sesame%@db/app":         "DATABASE_URL must have the form",
		"postgres://me:sesame#1@db/app":        "DATABASE_URL must have the form",
		"postgres://me:sesame@127.0.0.1:1/app": "connecting to PostgreSQL at 127.0.0.1:1: ",
	} {
		t.Setenv("DATABASE_URL", databaseURL)
		_, err := Start(t.Context(), Options{})
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "sesame")
	}
}

func TestServerDiesWithItsKilledProcessAndLeavesNothing(t *testing.T) {
	fulltier.Needs(t, "a PostgreSQL server")
	t.Parallel()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), roleVariable+"=server")
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	var databaseURL, dir string
	_, err = fmt.Fscanln(output, &databaseURL, &dir)
	require.NoError(t, err)
	require.NoError(t, connect(t, databaseURL).PingContext(t.Context()))

	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 20*time.Second, 20*time.Millisecond, "the cluster's folder is removed")
	require.Error(t, connect(t, databaseURL).PingContext(t.Context()))
}

func beServer() {
	server, err := Start(context.Background(), Options{OwnCluster: true, NoSync: true, Progress: progressToStderr})
	if err != nil {
		panic(err)
	}
	fmt.Println(server.url, server.cluster.dir)
	select {}
}
