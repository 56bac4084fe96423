package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

const cliPackage = "github.com/temporalio/cli/cmd/temporal"

// cliModule is the folder of the cli module, which is found from any package of
// this repository, wherever it is checked out.
func cliModule(ctx context.Context) (string, error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "internal", "testbed", "temporalserver", "cli")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("the Temporal CLI is built from scrapehaul's source tree only: %w", err)
	}
	return dir, nil
}

// build runs the Go toolchain. Its environment decides on proxies and caches;
// what could make it use other versions than cli/go.mod says is overridden. The
// linker leaves debug information out, which makes the file smaller and the
// build quicker.
func build(ctx context.Context, module, target string) error {
	toolchain, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	process, err := childprocess.Start(childprocess.Command{
		Path:       toolchain,
		Args:       []string{"build", "-ldflags=-s -w", "-o", target, cliPackage},
		Dir:        module,
		Env:        append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off"),
		StopSignal: syscall.SIGINT,
		// On SIGINT the toolchain ends its compilers and removes its work folder.
		OrphanSignal:       syscall.SIGINT,
		RemoveWhenOrphaned: target,
	})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return errors.Join(ctx.Err(), process.Stop())
	case <-process.Done():
	}
	if err := process.Wait(); err != nil {
		return fmt.Errorf("building %s: %w", cliPackage, err)
	}
	return nil
}
