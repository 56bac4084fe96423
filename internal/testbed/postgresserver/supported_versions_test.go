package postgresserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/nodepackage"
)

// suites are the tests that run on the oldest and newest supported versions, too: those whose
// SQL may depend on the version. Left out are slow ones, such as random histories, whose
// statements others run as well.
var suites = [][]string{
	{"-skip=TestManyRows|TestConnect|ReportsProgress|TestBackup|TestStoreWithMappings|TestImportsDoNot|TestRefusedRecords|TestWaitForALock|TestALost|" +
		"TestATableMatches|TestNoRowWithoutRecords|TestBackfilledTable|TestDatabasesKeep|TestChangedMapping.*/(a_|an|one|with_|integer|numeric)", "./postgres"},
	{"./mapping"},
	{"-run=TestImport|TestVerified|TestPublished|TestAnnounce", "./activities"},
}

func TestOldestAndNewestPostgreSQL(t *testing.T) {
	t.Parallel()
	fulltier.Needs(t, "PostgreSQL of other versions")
	for _, version := range []string{"postgresql-13", "postgresql-18"} {
		t.Run(version, func(t *testing.T) { // one after the other: other packages need the processors, too
			programs, remove, err := ProgramsOf("versions", version)
			if errors.Is(err, nodepackage.ErrNoNode) || errors.Is(err, ErrNoVersions) {
				t.Skipf("%s: %s", version, err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, remove()) })
			for _, suite := range suites {
				test := exec.CommandContext(t.Context(), "go", append([]string{"test", "-count=1", "-parallel=3"}, suite...)...)
				test.Dir = filepath.Join("..", "..", "..")
				test.Env = append(os.Environ(), "DATABASE_URL=", "PATH="+programs+string(filepath.ListSeparator)+os.Getenv("PATH"))
				output, err := test.CombinedOutput()
				require.NoError(t, err, "%s", output)
			}
		})
	}
}
