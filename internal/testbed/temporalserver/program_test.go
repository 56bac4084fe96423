package temporalserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

func TestOutdatedProgramOnPathIsSkipped(t *testing.T) {
	path := t.TempDir()
	help := "#!/bin/sh\necho '--ip string --port int --namespace strings --headless --ui-port int'\n"
	require.NoError(t, os.WriteFile(filepath.Join(path, "temporal"), []byte(help), 0o700))
	t.Setenv("PATH", path)

	_, err := programOnPath(t.Context())
	require.ErrorContains(t, err, "is too old: `temporal server start-dev` does not know --dynamic-config-value")
}

func TestObtainedProgramWorksOnPath(t *testing.T) {
	fulltier.Needs(t, "the Temporal CLI")
	built, err := cachedProgram(t.Context(), progressToStderr)
	require.NoError(t, err)
	path := t.TempDir()
	require.NoError(t, os.Symlink(built, filepath.Join(path, "temporal")))
	t.Setenv("PATH", path)

	program, err := programOnPath(t.Context())
	require.NoError(t, err)
	require.Equal(t, filepath.Join(path, "temporal"), program)
}
