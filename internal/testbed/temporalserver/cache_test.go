package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	builders        = 3
	builderVariable = "TEMPORALSERVER_TEST_PROGRAM" // the file to build
)

func TestConcurrentProcessesBuildOnce(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "temporal")
	var processes []*exec.Cmd
	for range builders {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), roleVariable+"=builder", builderVariable+"="+program)
		process.Stderr = os.Stderr
		require.NoError(t, process.Start())
		processes = append(processes, process)
	}
	for _, process := range processes {
		require.NoError(t, process.Wait())
	}

	builds, err := filepath.Glob(program + ".build-*")
	require.NoError(t, err)
	require.Len(t, builds, 1)
	unfinished, err := filepath.Glob(program + ".unfinished*")
	require.NoError(t, err)
	require.Empty(t, unfinished)
}

// beBuilder obtains the program concurrently with others. The build ends after all others
// wait for it.
func beBuilder() {
	program := os.Getenv(builderVariable)
	note := func(what string) {
		if err := os.WriteFile(fmt.Sprintf("%s.%s-%d", program, what, os.Getpid()), nil, 0o600); err != nil {
			panic(err)
		}
	}
	got, err := obtainOnce(context.Background(), program,
		func(step string) {
			if strings.HasPrefix(step, "waiting for another process") {
				note("wait")
			}
		},
		func(_ context.Context, target string) error {
			note("build")
			for waiting := 0; waiting < builders-1; {
				notes, err := filepath.Glob(program + ".wait-*")
				if err != nil {
					return err
				}
				waiting = len(notes)
				time.Sleep(time.Millisecond)
			}
			return os.WriteFile(target, nil, 0o700)
		})
	if err != nil || got != program {
		panic(fmt.Sprintf("got %q, %v", got, err))
	}
}

func TestFailedBuildIsRetriedNextTime(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "temporal")
	silence := func(string) {}
	noSpace := errors.New("no space left on device")

	_, err := obtainOnce(t.Context(), program, silence, func(_ context.Context, target string) error {
		require.NoError(t, os.WriteFile(target, []byte("half"), 0o700))
		return noSpace
	})
	require.ErrorIs(t, err, noSpace)
	require.NoFileExists(t, program)

	_, err = obtainOnce(t.Context(), program, silence, func(_ context.Context, target string) error {
		return os.WriteFile(target, []byte("complete"), 0o700)
	})
	require.NoError(t, err)
	content, err := os.ReadFile(program)
	require.NoError(t, err)
	require.Equal(t, "complete", string(content))
}

func TestCacheFallsBackToATemporaryFolder(t *testing.T) {
	notAFolder := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(notAFolder, nil, 0o600))
	t.Setenv("HOME", notAFolder)
	t.Setenv("XDG_CACHE_HOME", notAFolder)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)

	dir, err := cacheDir()
	require.NoError(t, err)
	require.Equal(t, temporary, filepath.Dir(dir))

	require.NoError(t, os.Chmod(dir, 0o777))
	_, err = cacheDir()
	require.ErrorContains(t, err, dir+" is not a folder that only you can write to")
}
