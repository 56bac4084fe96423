package contract_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Callers of the Nexus service build neither scrapehaul nor its dependencies.
func TestContractIsLight(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	output, err := list.Output()
	require.NoError(t, err)
	require.Equal(t, []string{
		"github.com/nexus-rpc/sdk-go/nexus",
		"github.com/scrapehaul/scrapehaul/sink",
		"github.com/scrapehaul/scrapehaul/workflows/contract",
	}, strings.Fields(string(output)))
}
