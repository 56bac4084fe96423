// Package sourcetree finds the nested modules in scrapehaul's source tree.
package sourcetree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module returns the folder of a nested module in internal/testbed, such as
// "temporalserver/cli", from any package of this repository.
func Module(ctx context.Context, path string) (dir string, err error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "internal", "testbed", filepath.FromSlash(path))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("%s can only be built from scrapehaul's source tree: %w", path, err)
	}
	return dir, nil
}

// Environment returns the environment of a Go command in a nested module: the user's, for
// its proxies and caches, but always with the versions of the module's go.mod.
func Environment() []string {
	return append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
}
