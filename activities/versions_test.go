package activities_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	// Skips tests that are slow or timing-sensitive and do nothing special in PostgreSQL.
	postgrestest.RunOnOtherVersions(t, "..", "TestCloud|TestDownload|TestAnswers|TestRedirect|TestDatabaseThatIsUnreachable|TestLists")
}
