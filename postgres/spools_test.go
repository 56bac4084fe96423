package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

func spools(t *testing.T, store *postgres.Store, prefix string) []postgres.Spool {
	t.Helper()
	found, err := store.Spools(t.Context(), prefix)
	require.NoError(t, err)
	return found
}

func TestSpoolsAreFoundByTheBeginningOfTheirTaskQueue(t *testing.T) {
	store, _ := newStore(t)
	require.Empty(t, spools(t, store, ""))
	for name, taskQueue := range map[string]string{
		"b": "import_1-b", "a": "import_1-a", "c": "importX1-c", "d": "other-import_1-d", "e": `100%\-e`, "f": "100-f",
	} {
		require.NoError(t, store.RegisterSpool(t.Context(), name, taskQueue))
	}
	require.Equal(t, []postgres.Spool{{"a", "import_1-a"}, {"b", "import_1-b"}}, spools(t, store, "import_1"), "a prefix is no pattern")
	require.Equal(t, []postgres.Spool{{"e", `100%\-e`}}, spools(t, store, `100%\`))
	require.Len(t, spools(t, store, ""), 6)

	require.NoError(t, store.RegisterSpool(t.Context(), "a", "other-a"))
	require.Equal(t, []postgres.Spool{{"b", "import_1-b"}}, spools(t, store, "import_1"), "a worker can change its task queue")
}

func TestASpoolThatNobodySweepsForADayIsForgotten(t *testing.T) {
	store, db := newStore(t)
	hoursPass := func(hours int) {
		db.MustExec(`UPDATE scrapehaul.spools SET awaited_since = awaited_since - $1 * interval '1 hour'`, hours)
	}
	names := func() (names []string) {
		for _, spool := range spools(t, store, "import-") {
			names = append(names, spool.Name)
		}
		return names
	}
	for _, name := range []string{"gone", "restarted", "swept"} {
		require.NoError(t, store.RegisterSpool(t.Context(), name, "import-"+name))
	}
	require.NoError(t, store.RegisterSpool(t.Context(), "not asked for", "other"))
	hoursPass(72) // nobody asks, so nobody can answer
	require.Equal(t, []string{"gone", "restarted", "swept"}, names())
	hoursPass(13)
	require.Equal(t, []string{"gone", "restarted", "swept"}, names())
	require.NoError(t, store.SpoolSwept(t.Context(), "swept"))
	require.NoError(t, store.RegisterSpool(t.Context(), "restarted", "import-restarted"))
	hoursPass(13)
	require.Equal(t, []string{"restarted", "swept"}, names())
	require.NoError(t, store.SpoolSwept(t.Context(), "gone"), "and a late answer does no harm")
	require.Equal(t, []string{"restarted", "swept"}, names())
	require.Len(t, spools(t, store, "other"), 1)
}
