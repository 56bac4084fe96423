// Package sourcetree finds the modules of their own that lie in scrapehaul's source.
package sourcetree

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module returns the folder of a module in internal/testbed, such as
// "temporalserver/cli", from any package of this repository, wherever it is checked out.
func Module(ctx context.Context, path string) (dir string, err error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "internal", "testbed", filepath.FromSlash(path))
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("%s is built from scrapehaul's source tree only: %w", path, err)
	}
	return dir, nil
}

// Environment is that of a Go command in a module: the user's, which decides on proxies
// and caches, without what could make it use other versions than its go.mod says.
func Environment() []string {
	return append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
}
