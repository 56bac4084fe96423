package postgres_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	// Skips slow tests that do not depend on the version; of random histories and of the
	// databases of earlier versions, others run each statement.
	postgrestest.RunOnOtherVersions(t, "..", "-test.skip=TestManyRows|TestConnect|ReportsProgress|TestBackup|TestStoreWithMappings|TestImportsDoNot|TestRefusedRecords|TestWaitForALock|TestALost|"+
		"TestATableMatches|TestNoRowWithoutRecords|TestBackfilledTable|TestDatabasesKeep")
}
