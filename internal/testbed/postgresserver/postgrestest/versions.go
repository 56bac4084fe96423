package postgrestest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/nodepackage"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver"
)

// otherVersions are the oldest and newest supported versions.
var otherVersions = []string{"postgresql-13", "postgresql-18"}

// versionVariable is set in the test binaries that RunOnOtherVersions runs.
const versionVariable = "POSTGRESTEST_VERSION"

// RunOnOtherVersions runs the package's tests again on the oldest and newest versions of
// PostgreSQL, with flags of the test binary that select tests. root is the path of the
// module's folder.
func RunOnOtherVersions(t *testing.T, root string, flags ...string) {
	fulltier.Needs(t, "PostgreSQL of other versions")
	if os.Getenv(versionVariable) != "" {
		return // already such a run
	}
	for _, version := range otherVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			programs, remove, err := postgresserver.ProgramsOf(filepath.Join(root, "internal", "testbed", "postgresserver", "versions"), version)
			if errors.Is(err, nodepackage.ErrNoNode) || errors.Is(err, postgresserver.ErrNoVersions) {
				t.Skipf("%s: %s", version, err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, remove()) })
			program, err := os.Executable()
			require.NoError(t, err)
			test := exec.CommandContext(t.Context(), program, append(flags, "-test.parallel=4")...)
			test.Env = append(os.Environ(), versionVariable+"="+version, "DATABASE_URL=",
				"PATH="+programs+string(filepath.ListSeparator)+os.Getenv("PATH"))
			output, err := test.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}
