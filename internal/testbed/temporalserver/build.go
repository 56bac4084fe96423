package temporalserver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/sourcetree"
)

const (
	cliPackage   = "github.com/temporalio/cli/cmd/temporal"
	serverModule = "go.temporal.io/server"
)

// withoutDir has files that replace the server's, so that dependencies that a development
// server does not need are neither downloaded nor compiled.
const withoutDir = "_without"

// recipe returns a checksum of all that determines the build of the module.
func recipe(module string) (sum string, err error) {
	all, files := sha256.New(), os.DirFS(module)
	for _, part := range []string{"go.sum", withoutDir} {
		err := fs.WalkDir(files, part, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := fs.ReadFile(files, path)
			all.Write(content)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%.6x", all.Sum(nil)), nil
}

// slimmer copies the server's source into dir, replaces files with those of withoutDir, and
// returns a go.mod that uses it. (The toolchain's -overlay does not work for files in the
// module cache.)
func slimmer(ctx context.Context, module, dir string) (gomod string, err error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", serverModule)
	download.Dir, download.Env = module, sourcetree.Environment()
	output, err := download.Output()
	var server struct{ Dir, Error string }
	if json.Unmarshal(output, &server) != nil || server.Dir == "" {
		return "", fmt.Errorf("downloading %s: %w", serverModule, errors.Join(err, errors.New(server.Error)))
	}
	source, without := filepath.Join(dir, "server"), os.DirFS(filepath.Join(module, withoutDir))
	if err := os.CopyFS(source, os.DirFS(server.Dir)); err != nil {
		return "", err
	}
	err = fs.WalkDir(without, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Remove(filepath.Join(source, path)) // fails if there is nothing to replace
	})
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(source, without); err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			content = fmt.Appendf(content, "\nreplace %s => %q\n", serverModule, source)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "go.mod"), nil
}

// build builds the CLI from the module.
func build(ctx context.Context, module, target string) (err error) {
	dir, err := os.MkdirTemp("", "scrapehaul-temporal-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	gomod, err := slimmer(ctx, module, dir)
	if err != nil {
		return fmt.Errorf("building %s: %w", cliPackage, err)
	}
	return compile(ctx, module, gomod, target)
}

// compile runs the Go toolchain, without debug information: the file is smaller and the
// build faster.
func compile(ctx context.Context, module, gomod, target string) error {
	toolchain, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	process, err := childprocess.Start(childprocess.Command{
		Path:       toolchain,
		Args:       []string{"build", "-modfile", gomod, "-ldflags=-s -w", "-o", target, cliPackage},
		Dir:        module,
		Env:        sourcetree.Environment(),
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
