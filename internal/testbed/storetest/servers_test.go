package storetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/nodepackage"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
)

func TestMain(m *testing.M) {
	code := systemtest.Run(m, "s3", "gcs", "azure")
	if serverDir != "" {
		_ = os.RemoveAll(serverDir)
	}
	os.Exit(code)
}

// buildServers builds the tools of the module in servers, once.
var buildServers = sync.OnceValue(func() (err error) {
	if serverDir, err = os.MkdirTemp("", "scrapehaul-storetest-"); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", serverDir+string(filepath.Separator), "tool")
	build.Dir = "servers"
	build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the stores' servers: %w\n%s", err, output)
	}
	return nil
})

var serverDir string

func serverFile(t *testing.T, name string) string {
	t.Helper()
	fulltier.Needs(t, "the stores' servers")
	require.NoError(t, buildServers())
	return filepath.Join(serverDir, name)
}

// azuriteProgram is Azurite's Blob Storage, without its queues and tables.
var azuriteProgram = filepath.Join("azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")

// requireAzurite installs Azurite and returns the node command.
func requireAzurite(t *testing.T) string {
	t.Helper()
	fulltier.Needs(t, "Node.js and npm")
	node, err := installAzurite()
	if errors.Is(err, nodepackage.ErrNoNode) {
		t.Skipf("Azure Blob Storage is tested with Azurite: %s", err)
	}
	require.NoError(t, err)
	return node
}

var installAzurite = sync.OnceValues(func() (node string, err error) {
	return nodepackage.Install("azurite", "azurite")
})
