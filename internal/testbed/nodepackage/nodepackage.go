// Package nodepackage installs npm packages for tests that run them.
package nodepackage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/filelock"
)

// ErrNoNode is returned if Node.js or npm is missing.
var ErrNoNode = errors.New("install Node.js 18 or newer with npm, then retry")

// Install returns the node command. It first installs the packages of dir/package.json
// unless dir/node_modules already has the wanted version of name, as in CI. Concurrent test
// runs wait for each other, with a lock on dir/npm.lock.
func Install(dir, name string) (node string, err error) {
	node, err = exec.LookPath("node")
	if err != nil {
		return "", ErrNoNode
	}
	lock, err := filelock.Wait(context.Background(), filepath.Join(dir, "npm.lock"), nil)
	if err != nil {
		return "", fmt.Errorf("waiting for another installation of %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if installed(dir, name) {
		return node, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", ErrNoNode
	}
	install := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing %s with npm ci: %w\n%s", name, err, output)
	}
	return node, nil
}

func installed(dir, name string) bool {
	var wanted struct {
		Dependencies map[string]string
	}
	var installed struct {
		Version string
	}
	return readJSON(filepath.Join(dir, "package.json"), &wanted) == nil &&
		readJSON(filepath.Join(dir, "node_modules", filepath.FromSlash(name), "package.json"), &installed) == nil &&
		installed.Version == wanted.Dependencies[name][strings.LastIndex(wanted.Dependencies[name], "@")+1:] // of an alias: npm:NAME@VERSION
}

func readJSON(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}
