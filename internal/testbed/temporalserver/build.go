package temporalserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

const (
	cliPackage = "github.com/temporalio/cli/cmd/temporal"
	// cliVersion is the version that cli/go.mod requires; a test holds the two
	// together. Later versions of the CLI do not build outside their own
	// repository.
	cliVersion = "v1.5.1"
)

// builtProgram returns the CLI built from the cli module, from the cache if it
// was built before.
func builtProgram(ctx context.Context, progress func(string)) (string, error) {
	module, err := cliModule(ctx)
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("temporal-%s-%.6x", cliVersion, sha256.Sum256(sums))
	return buildOnce(ctx, filepath.Join(dir, name), progress, func(ctx context.Context, target string) error {
		return build(ctx, module, target)
	})
}

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

// cacheDir is a folder of this user only, as programs in it are executed.
func cacheDir() (string, error) {
	if cache, err := os.UserCacheDir(); err == nil {
		dir := filepath.Join(cache, "scrapehaul")
		if err := privateDir(dir); err == nil {
			return dir, nil
		}
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("scrapehaul-%d", os.Getuid()))
	return dir, privateDir(dir)
}

// privateDir makes dir and checks that only this user can write to it. In a
// temporary folder somebody else may have made one of that name before.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Getuid() || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a folder that only you can write to: remove it", dir)
	}
	probe, err := os.CreateTemp(dir, "writable-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// buildOnce returns program, and before that builds it if it is missing. Of
// several processes that ask at the same time one builds and the others wait.
func buildOnce(ctx context.Context, program string, progress func(string), build func(ctx context.Context, target string) error) (_ string, err error) {
	if isFile(program) {
		return program, nil
	}
	lock := flock.New(program + ".lock")
	locked, err := lock.TryLock()
	if err == nil && !locked {
		progress("waiting for another process that is building the Temporal CLI, about 3 minutes on 2 cores…")
		_, err = lock.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Path(), err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if isFile(program) {
		return program, nil
	}
	progress("building the Temporal CLI " + cliVersion + " once, about 3 minutes on 2 cores…")
	started := time.Now()
	unfinished := fmt.Sprintf("%s.unfinished-%d", program, os.Getpid())
	if err := build(ctx, unfinished); err != nil {
		return "", errors.Join(err, removeIfExists(unfinished))
	}
	if err := os.Rename(unfinished, program); err != nil {
		return "", err
	}
	progress(fmt.Sprintf("built the Temporal CLI in %s", time.Since(started).Round(time.Second)))
	return program, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
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
