package main

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// openTerminal opens a pseudoterminal and returns both sides.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 160}))
	return ours, theirs
}

// onTerminal runs the program on a terminal and returns its exit code and output.
func onTerminal(t *testing.T, args ...string) (code int, screen string) {
	t.Helper()
	ours, theirs := openTerminal(t)
	written := new(programtest.Log)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(written, ours) // fails when the other side is closed
	}()
	code = program.Main("starter", "", new(commands), args, program.Streams{Out: theirs, Err: os.Stderr})
	require.NoError(t, theirs.Close())
	<-read
	require.NoError(t, ours.Close())
	return code, written.String()
}

func TestStatusOnATerminalFollowsTheImportToItsHold(t *testing.T) {
	s := newSystem(t, map[string]string{"HEARTBEAT_TIMEOUT": "1s"}, systemtest.NoGzip)
	t.Setenv("TERM", "xterm")
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Drip(1000, 10*time.Millisecond)})
	_, argument := addJob(s, webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(2000, 1)})
	s.StartWorker(s.Spool)

	code, screen := onTerminal(t, "status", argument)
	require.Equal(t, program.ExitOK, code, screen)
	require.Regexp(t, `\d\d:\d\d:\d\d  downloading\r?\n`, screen)
	require.Regexp(t, `downloading  ?\[=+>-*\]  ?\d+ kB of \d\.\d MB, \d+ %, \d+ kB/s, \d+s left`, screen)
	require.Regexp(t, `step +holding\r?\n`, screen, "the final state")
	require.Contains(t, screen, "starter signal "+argument+" delete-now")
}

func TestStatusOnATerminalExitsWith3WhenAttentionIsNeeded(t *testing.T) {
	s := newSystem(t, nil)
	t.Setenv("TERM", "xterm")
	_, argument := addJob(s, webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	s.StartWorker(s.Spool)
	code, screen := onTerminal(t, "status", argument)
	require.Equal(t, program.ExitAttention, code, screen)
	require.Regexp(t, `step +needs-attention\r?\n`, screen)
}

func TestStatusIsPlainOnRequest(t *testing.T) {
	s := newSystem(t, nil) // without a worker, the import never ends
	_, argument := addJob(s, webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	for name, c := range map[string]struct {
		environment map[string]string
		args        []string
	}{
		"NO_COLOR":      {map[string]string{"NO_COLOR": "1", "TERM": "xterm"}, nil},
		"dumb terminal": {map[string]string{"TERM": "dumb"}, nil},
		"--no-watch":    {map[string]string{"TERM": "xterm"}, []string{"--no-watch"}},
		"--json":        {map[string]string{"TERM": "xterm"}, []string{"--json"}},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range c.environment {
				t.Setenv(variable, value)
			}
			code, screen := onTerminal(t, append([]string{"status", argument}, c.args...)...)
			require.Equal(t, program.ExitOK, code, screen)
			require.NotContains(t, screen, "\x1b", "no control sequences")
			require.NotContains(t, screen, "[-")
		})
	}
}
