package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

func TestDemoSaysThatItCompilesAndBecomesTheRealOne(t *testing.T) {
	fulltier.Needs(t, "a build of the demo")
	help := exec.CommandContext(t.Context(), "go", "run", ".", "cloud", "--help")
	output, err := help.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Regexp(t, `^Compiling the demo: .*\n(?s:.*)Usage: demo cloud`, string(output))
}
