package temporalserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuildReportsWhatTheToolchainSays(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("module empty\n"), 0o600))

	err := build(t.Context(), module, filepath.Join(t.TempDir(), "temporal"))
	require.ErrorContains(t, err, "cannot find module providing package "+cliPackage)
}

func TestVersionIsTheOneOfTheModule(t *testing.T) {
	t.Parallel()
	gomod, err := os.ReadFile(filepath.Join("cli", "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(gomod), "github.com/temporalio/cli "+cliVersion)
}
