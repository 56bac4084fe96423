package postgrestest_test

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestDatabaseLivesAsLongAsItsTest(t *testing.T) {
	fulltier.Needs(t, "a PostgreSQL server")
	var databaseURL string
	t.Run("test", func(t *testing.T) {
		databaseURL = postgrestest.NewDatabase(t)
		require.NoError(t, ping(t, databaseURL))
	})
	require.ErrorContains(t, ping(t, databaseURL), "does not exist")
}

func TestCopiesAreFilledOnceAndSeparate(t *testing.T) {
	fulltier.Needs(t, "a PostgreSQL server")
	fills := 0
	fill := func(databaseURL string) error {
		fills++
		return exec(t, databaseURL, "CREATE TABLE products (name text)")
	}
	first, second := postgrestest.NewCopy(t, "filled", fill), postgrestest.NewCopy(t, "filled", fill)
	if os.Getenv("DATABASE_URL") == "" {
		require.Equal(t, 1, fills)
	}
	require.NoError(t, exec(t, first, "DROP TABLE products"))
	require.NoError(t, exec(t, second, "DROP TABLE products"))
}

func TestServerOfOneTestCanBeRestarted(t *testing.T) {
	server, databaseURL := postgrestest.NewServer(t)
	require.NoError(t, ping(t, databaseURL))
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, ping(t, databaseURL))
}

func exec(t *testing.T, databaseURL, statement string) error {
	t.Helper()
	db, err := sql.Open("postgres", databaseURL)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement)
	return err
}

func ping(t *testing.T, databaseURL string) error {
	t.Helper()
	db, err := sql.Open("postgres", databaseURL)
	require.NoError(t, err)
	defer db.Close()
	return db.PingContext(t.Context())
}
