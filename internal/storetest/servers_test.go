package storetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/systemtest"
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
	require.NoError(t, buildServers())
	return filepath.Join(serverDir, name)
}

// azuriteProgram is what node runs: Azurite's Blob Storage without its queues and
// tables.
var azuriteProgram = filepath.Join("azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")

var errNoNode = errors.New("Azure Blob Storage is tested with Azurite: install Node.js 18 or newer with npm, then run it again")

// requireAzurite is the node command, with Azurite installed.
func requireAzurite(t *testing.T) string {
	t.Helper()
	node, err := installAzurite()
	if errors.Is(err, errNoNode) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return node
}

// installAzurite installs the version of the lock file unless it is there, as
// after the installation in CI.
var installAzurite = sync.OnceValues(func() (node string, err error) {
	node, err = exec.LookPath("node")
	if err != nil {
		return "", errNoNode
	}
	lock := flock.New(filepath.Join("azurite", "npm.lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("waiting for another installation of Azurite: %w", err)
	}
	defer func() { _ = lock.Unlock() }() // it ends with the process at the latest
	if _, err := os.Stat(azuriteProgram); err == nil {
		return node, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", errNoNode
	}
	if output, err := exec.Command(npm, "ci", "--prefix", "azurite", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing Azurite with npm ci: %w\n%s", err, output)
	}
	return node, nil
})
