package postgrestest_test

import (
	"database/sql"
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

func TestServerOfOneTestCanBeRestarted(t *testing.T) {
	server, databaseURL := postgrestest.NewServer(t)
	require.NoError(t, ping(t, databaseURL))
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, ping(t, databaseURL))
}

func ping(t *testing.T, databaseURL string) error {
	t.Helper()
	db, err := sql.Open("postgres", databaseURL)
	require.NoError(t, err)
	defer db.Close()
	return db.PingContext(t.Context())
}
