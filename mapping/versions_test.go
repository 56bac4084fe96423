package mapping_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	postgrestest.RunOnOtherVersions(t, "..")
}
