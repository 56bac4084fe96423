// The demo runs all of scrapehaul on one machine, without an account. This program
// compiles within seconds, says what takes minutes the first time, and becomes the
// real one, internal/testbed/demo.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const demo = "github.com/scrapehaul/scrapehaul/internal/testbed/demo"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run returns only an error: the process becomes the demo.
func run() error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	file := filepath.Join(cache, "scrapehaul", "demo")
	fmt.Fprintln(os.Stderr, "Compiling the demo: about a minute on 2 cores the first time, then seconds")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, demo)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("compiling %s: %w", demo, err)
	}
	return syscall.Exec(file, append([]string{"demo"}, os.Args[1:]...), os.Environ()) //nolint:gosec // the arguments are the demo's own
}
