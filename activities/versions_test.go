package activities_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	// Its SQL is that of package postgres, which runs on all versions.
	postgrestest.RunOnOtherVersions(t, "..", "-test.run=Import|Delete|Announce|Account")
}
