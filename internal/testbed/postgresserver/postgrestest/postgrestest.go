// Package postgrestest gives tests databases in a real PostgreSQL server.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
)

// NewDatabase returns the URL of an empty database for one test, in a server that all tests
// of this process share. The first call starts the server; it ends with this process. The
// database is dropped at the end of the test.
func NewDatabase(t testing.TB) (databaseURL string) {
	t.Helper()
	fulltier.Needs(t, "a PostgreSQL server")
	server, err := sharedServer()
	require.NoError(t, err)
	return newDatabase(t, server)
}

// NewCopy is [NewDatabase] with what fill writes to it. Tests with the same name share one
// call of fill, which must close its connections.
func NewCopy(t testing.TB, name string, fill func(databaseURL string) error) (databaseURL string) {
	t.Helper()
	if os.Getenv("DATABASE_URL") != "" { // nothing would drop the original
		databaseURL = NewDatabase(t)
		require.NoError(t, fill(databaseURL))
		return databaseURL
	}
	fulltier.Needs(t, "a PostgreSQL server")
	server, err := sharedServer()
	require.NoError(t, err)
	original, _ := originals.LoadOrStore(name, sync.OnceValues(func() (string, error) {
		originalURL, _, err := server.CreateDatabase(context.Background(), "original")
		if err != nil {
			return "", err
		}
		return originalURL, fill(originalURL)
	}))
	originalURL, err := original.(func() (string, error))()
	require.NoError(t, err)
	databaseURL, drop, err := server.CopyDatabase(t.Context(), "scrapehaul_test", originalURL)
	require.NoError(t, err)
	dropAtEnd(t, drop)
	return databaseURL
}

// originals are the databases of [NewCopy] by name.
var originals sync.Map

// NewServer starts a server for one test, which may restart it, and returns it with the URL
// of an empty database. It is as durable as in production, and ends with the test.
func NewServer(t testing.TB) (server *postgresserver.Server, databaseURL string) {
	t.Helper()
	fulltier.Needs(t, "a PostgreSQL server")
	server, err := postgresserver.Start(t.Context(), postgresserver.Options{OwnCluster: true, Progress: progress})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	return server, newDatabase(t, server)
}

func newDatabase(t testing.TB, server *postgresserver.Server) (databaseURL string) {
	t.Helper()
	databaseURL, drop, err := server.CreateDatabase(t.Context(), "scrapehaul_test")
	require.NoError(t, err)
	dropAtEnd(t, drop)
	return databaseURL
}

func dropAtEnd(t testing.TB, drop func(context.Context) error) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, drop(ctx))
	})
}

// NewStandby starts a hot standby of a server of NewServer. It ends with the test.
func NewStandby(t testing.TB, server *postgresserver.Server) (standby *postgresserver.Server) {
	t.Helper()
	standby, err := server.StartStandby(t.Context())
	if errors.Is(err, postgresserver.ErrNoBaseBackup) {
		t.Skipf("a standby: %s", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Stop()) })
	return standby
}

// NewPgBouncer starts PgBouncer in that pool_mode in front of the database, and returns the
// URL through it. It ends with the test.
func NewPgBouncer(t testing.TB, databaseURL, poolMode string) (throughIt string) {
	t.Helper()
	throughIt, stop, err := postgresserver.StartPgBouncer(t.Context(), databaseURL, poolMode)
	if errors.Is(err, postgresserver.ErrNoPgBouncer) {
		t.Skipf("pool_mode %s: %s", poolMode, err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return throughIt
}

// sharedServer is never stopped: it does not outlive this process.
var sharedServer = sync.OnceValues(func() (*postgresserver.Server, error) {
	return postgresserver.Start(context.Background(), postgresserver.Options{
		NoSync:   true,
		Progress: progress,
	})
})

func progress(step string) { fmt.Fprintln(os.Stderr, step) }
