package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
)

// Program returns the file of the Temporal CLI that [Start] runs, building or
// downloading it if need be.
func Program(ctx context.Context, progress func(string)) (string, error) {
	return findProgram(ctx, progress)
}

// findProgram climbs the ladder that Start documents and returns the file of a
// Temporal CLI.
func findProgram(ctx context.Context, progress func(string)) (string, error) {
	if program, err := programOnPath(ctx); err == nil {
		return program, nil
	} else if !errors.Is(err, exec.ErrNotFound) {
		progress("not using the temporal on PATH: " + err.Error())
	}
	program, buildErr := builtProgram(ctx, progress)
	if buildErr == nil || ctx.Err() != nil {
		return program, buildErr
	}
	progress("could not build the Temporal CLI, downloading it instead: " + buildErr.Error())
	program, downloadErr := downloadedProgram(ctx)
	if downloadErr != nil {
		return "", fmt.Errorf("no Temporal server: install the Temporal CLI, so that `temporal` is on PATH: %w",
			errors.Join(buildErr, downloadErr))
	}
	return program, nil
}

// programOnPath finds the installed CLI and asks it whether it knows our flags.
func programOnPath(ctx context.Context) (string, error) {
	program, err := exec.LookPath("temporal")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	help, err := exec.CommandContext(ctx, program, "server", "start-dev", "--help").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s server start-dev --help: %w", program, err)
	}
	// With all options set, arguments leaves only --headless out.
	flags := append(arguments(Options{UI: true, DBFilename: "file"}), "--headless")
	for _, flag := range flags {
		if strings.HasPrefix(flag, "--") && !strings.Contains(string(help), flag+" ") {
			return "", fmt.Errorf("%s is too old: `temporal server start-dev` does not know %s", program, flag)
		}
	}
	return program, nil
}

// downloadedProgram lets the SDK download the CLI that fits it. The SDK has no
// call for the download alone, so a server is started and stopped.
func downloadedProgram(ctx context.Context) (string, error) {
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "downloaded")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	server, err := testsuite.StartDevServer(ctx, testsuite.DevServerOptions{
		CachedDownload: testsuite.CachedDownload{DestDir: dir},
		ClientOptions:  &client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
		Stdout:         io.Discard,
		Stderr:         io.Discard,
	})
	if err != nil {
		return "", fmt.Errorf("downloading the Temporal CLI: %w", err)
	}
	if err := server.Stop(); err != nil {
		return "", fmt.Errorf("stopping the downloaded Temporal CLI: %w", err)
	}
	return filepath.Join(dir, "temporal-cli-go-sdk-"+temporal.SDKVersion), nil
}
