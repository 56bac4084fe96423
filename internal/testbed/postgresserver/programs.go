package postgresserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/testbed/sourcetree"
)

// installedIn are the folders where packages put PostgreSQL's server programs, mostly not on
// PATH.
var installedIn = []string{
	"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                        // PostgreSQL's own RPMs
	"/usr/libexec/postgresql*",                                // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",                      // Homebrew, Apple silicon
	"/usr/local/opt/postgresql@*/bin",                         // Homebrew, Intel
	"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin", // Postgres.app
}

// findPrograms returns a folder with initdb and postgres: an installed one, or one inside
// dir to which it downloads them.
func findPrograms(ctx context.Context, dir string, progress func(string)) (string, error) {
	if programs, ok := InstalledPrograms(); ok {
		return programs, nil
	}
	progress("PostgreSQL is not installed: downloading its programs once, about 30 MB…")
	programs, err := downloadPrograms(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL: install it (for example the package postgresql of Debian and Homebrew), "+
			"or set DATABASE_URL to a running server: %w", err)
	}
	return programs, nil
}

// InstalledPrograms returns the folder with the programs of an installed PostgreSQL, which
// need not be on PATH.
func InstalledPrograms() (dir string, found bool) {
	var candidates []string
	if postgres, err := exec.LookPath("postgres"); err == nil {
		candidates = append(candidates, filepath.Dir(postgres))
	}
	if bindir, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(bindir)))
	}
	for _, pattern := range installedIn {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // only a malformed pattern
		}
		candidates = append(candidates, newestFirst(matches)...)
	}
	for _, programs := range candidates {
		if hasPrograms(programs) {
			return programs, true
		}
	}
	return "", false
}

var majorVersion = regexp.MustCompile(`\d+`)

// newestFirst sorts folders by PostgreSQL version.
func newestFirst(dirs []string) []string {
	version := func(dir string) int {
		major, _ := strconv.Atoi(majorVersion.FindString(dir)) // no digits: 0, the oldest
		return major
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

func hasPrograms(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// downloadPrograms runs the program of the download module, which downloads and unpacks
// PostgreSQL.
func downloadPrograms(ctx context.Context, dir string) (string, error) {
	cache, err := os.UserCacheDir()
	if err == nil {
		cache = filepath.Join(cache, "scrapehaul")
		err = os.MkdirAll(cache, 0o700)
	}
	if err != nil {
		cache = dir // works, but downloads every time
	}
	module, err := sourcetree.Module(ctx, "postgresserver/download")
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(dir, "postgresql")
	download := exec.CommandContext(ctx, "go", "run", ".", cache, unpacked)
	download.Dir, download.Env = module, sourcetree.Environment()
	output, err := download.CombinedOutput()
	programs := filepath.Join(unpacked, "bin")
	if err != nil || !hasPrograms(programs) {
		return "", fmt.Errorf("downloading PostgreSQL: %w\n%s", err, output)
	}
	return programs, nil
}
