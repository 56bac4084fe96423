package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/filelock"
	"github.com/scrapehaul/scrapehaul/internal/testbed/sourcetree"
)

// cliVersion is the version to download or build. A test compares it with cli/go.mod. Later
// versions of the CLI do not build outside their own repository.
const cliVersion = "v1.5.1"

// cachedProgram returns the CLI from the user's cache folder. It first downloads or builds
// it if it is missing.
func cachedProgram(ctx context.Context, progress func(string)) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	name := "temporal-" + cliVersion
	module, moduleErr := sourcetree.Module(ctx, "temporalserver/cli")
	if moduleErr == nil {
		sum, err := recipe(module)
		if err != nil {
			return "", err
		}
		name += "-" + sum
	}
	return obtainOnce(ctx, filepath.Join(dir, name), progress, func(ctx context.Context, target string) error {
		return obtain(ctx, newDownloads(), target, progress, func(ctx context.Context, target string) error {
			if moduleErr != nil {
				return moduleErr
			}
			return build(ctx, module, target)
		})
	})
}

// obtain downloads the CLI into target, or builds it if the download fails. If the build
// fails too, it retries the download with longer timeouts.
func obtain(
	ctx context.Context, from downloads, target string, progress func(string), build func(ctx context.Context, target string) error,
) error {
	downloadErr := from.program(ctx, target)
	if downloadErr == nil || ctx.Err() != nil {
		return downloadErr
	}
	progress("building the Temporal CLI " + cliVersion + " once, 3 to 6 minutes on 2 cores, as the download failed: " + downloadErr.Error())
	buildErr := build(ctx, target)
	if buildErr == nil || ctx.Err() != nil {
		return buildErr
	}
	progress("building the Temporal CLI failed; retrying the download: " + buildErr.Error())
	if downloadErr = from.patient().program(ctx, target); downloadErr != nil {
		return errors.Join(buildErr, downloadErr)
	}
	return nil
}

// cacheDir returns a folder that only this user can write to, as programs in it are
// executed.
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

// privateDir creates dir and checks that only this user can write to it. In a temporary
// folder, another user may have created it first.
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

// obtainOnce returns program, and first obtains it if it is missing. Of several concurrent
// processes, one obtains it and the others wait.
func obtainOnce(
	ctx context.Context, program string, progress func(string), obtain func(ctx context.Context, target string) error,
) (_ string, err error) {
	if isFile(program) {
		return program, nil
	}
	lock, err := filelock.Wait(ctx, program+".lock", func() {
		progress("waiting for another process that downloads or builds the Temporal CLI, a few minutes at most…")
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if isFile(program) {
		return program, nil
	}
	if err := removeUnfinished(program); err != nil {
		return "", err
	}
	progress("downloading the Temporal CLI " + cliVersion + " once…")
	started := time.Now()
	target := fmt.Sprintf("%s.unfinished-%d", program, os.Getpid())
	if err := obtain(ctx, target); err != nil {
		return "", errors.Join(err, removeIfExists(target))
	}
	if err := os.Rename(target, program); err != nil {
		return "", err
	}
	progress(fmt.Sprintf("the Temporal CLI is ready after %s", time.Since(started).Round(time.Second)))
	return program, nil
}

// removeUnfinished removes the files of killed processes. Call it with the lock, which says
// that nobody is writing them.
func removeUnfinished(program string) error {
	left, err := filepath.Glob(program + ".unfinished-*")
	for _, each := range left {
		err = errors.Join(err, removeIfExists(each))
	}
	return err
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
