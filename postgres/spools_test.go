package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

func spoolTaskQueues(t *testing.T, store *postgres.Store, prefix string) []string {
	t.Helper()
	found, err := store.SpoolTaskQueues(t.Context(), prefix)
	require.NoError(t, err)
	return found
}

func TestSpoolsAreFoundByTaskQueuePrefix(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	require.Empty(t, spoolTaskQueues(t, store, ""))
	for name, taskQueue := range map[string]string{
		"b": "import_1-b", "a": "import_1-a", "c": "importX1-c", "d": "other-import_1-d", "e": `100%\-e`, "f": "100-f",
	} {
		require.NoError(t, store.RegisterSpool(t.Context(), name, taskQueue))
	}
	require.Equal(t, []string{"import_1-a", "import_1-b"}, spoolTaskQueues(t, store, "import_1"), "a prefix is not a pattern")
	require.Equal(t, []string{`100%\-e`}, spoolTaskQueues(t, store, `100%\`))
	require.Len(t, spoolTaskQueues(t, store, ""), 6)

	require.NoError(t, store.RegisterSpool(t.Context(), "a", "other-a"))
	require.Equal(t, []string{"import_1-b"}, spoolTaskQueues(t, store, "import_1"), "a worker can change its task queue")
}

func TestASpoolNotSweptForADayIsForgotten(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	hoursPass := func(hours int) {
		db.MustExec(`UPDATE scrapehaul.spools SET awaited_since = awaited_since - $1 * interval '1 hour'`, hours)
	}
	register := func(name string) {
		require.NoError(t, store.RegisterSpool(t.Context(), name, "import-"+name))
	}
	asked := func() []string { return spoolTaskQueues(t, store, "import-") }
	for _, name := range []string{"gone", "restarted", "swept"} {
		register(name)
	}
	require.NoError(t, store.RegisterSpool(t.Context(), "not asked for", "other"))
	hoursPass(72) // before the first call
	require.Equal(t, []string{"import-gone", "import-restarted", "import-swept"}, asked())
	hoursPass(13)
	require.Equal(t, []string{"import-gone", "import-restarted", "import-swept"}, asked())
	register("restarted")
	register("swept")
	hoursPass(13)
	require.Equal(t, []string{"import-restarted", "import-swept"}, asked())
	register("gone")
	require.Equal(t, []string{"import-gone", "import-restarted", "import-swept"}, asked(), "a worker that registers late is known again")
	require.Len(t, spoolTaskQueues(t, store, "other"), 1)
}
