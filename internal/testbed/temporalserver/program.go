package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Program returns the path of the Temporal CLI that [Start] runs. It downloads or builds it
// if necessary.
func Program(ctx context.Context, progress func(string)) (string, error) {
	return findProgram(ctx, progress)
}

// findProgram returns the path of the first Temporal CLI in the order that Start documents.
func findProgram(ctx context.Context, progress func(string)) (string, error) {
	if program, err := programOnPath(ctx); err == nil {
		return program, nil
	} else if !errors.Is(err, exec.ErrNotFound) {
		progress("not using the temporal on PATH: " + err.Error())
	}
	program, err := cachedProgram(ctx, progress)
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("no Temporal server: install the Temporal CLI, so that `temporal` is on PATH: %w", err)
	}
	return program, err
}

// programOnPath finds the installed CLI and checks that it has our flags.
func programOnPath(ctx context.Context) (string, error) {
	program, err := exec.LookPath("temporal")
	if err != nil {
		return "", err
	}
	if err := knowsOurFlags(ctx, program); err != nil {
		return "", err
	}
	return program, nil
}

// knowsOurFlags returns an error if the CLI lacks a flag that we use.
func knowsOurFlags(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	help, err := exec.CommandContext(ctx, program, "server", "start-dev", "--help").CombinedOutput() //nolint:gosec // found on PATH or in our cache
	if err != nil {
		return fmt.Errorf("%s server start-dev --help: %w", program, err)
	}
	// With all options set, arguments leaves only --headless out.
	flags := append(arguments(Options{UI: true, DBFilename: "file"}), "--headless")
	for _, flag := range flags {
		if strings.HasPrefix(flag, "--") && !strings.Contains(string(help), flag+" ") {
			return fmt.Errorf("%s is too old: `temporal server start-dev` does not know %s", program, flag)
		}
	}
	return nil
}
