package temporalserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuildReportsTheToolchainsError(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	gomod := filepath.Join(module, "go.mod")
	require.NoError(t, os.WriteFile(gomod, []byte("module empty\n"), 0o600))

	err := compile(t.Context(), module, gomod, filepath.Join(t.TempDir(), "temporal"))
	require.ErrorContains(t, err, "cannot find module providing package "+cliPackage)
}

func TestVersionIsTheModules(t *testing.T) {
	t.Parallel()
	gomod, err := os.ReadFile(filepath.Join("cli", "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(gomod), "github.com/temporalio/cli "+cliVersion)
}
