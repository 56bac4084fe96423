package activities_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	// Left out are those that take long, or need a machine in time, and ask PostgreSQL for nothing special.
	postgrestest.RunOnOtherVersions(t, "..", "TestCloud|TestDownload|TestAnswers|TestRedirect|TestDatabaseThatIsGone|TestLists")
}
