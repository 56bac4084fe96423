// Walkthrough runs the demo and some commands, and writes what a terminal shows as an
// animated SVG: docs/demo.svg.
//
//	go run ./internal/testbed/walkthrough > docs/demo.svg
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
)

// steps are what a person does after the demo's hints; the next one follows once the
// terminal has shown what this one is for. Names of variables are those of the hints.
var steps = []struct{ command, shows string }{
	{`psql $DATABASE_URL -c 'SELECT product, price FROM sitemaps_latest."books" LIMIT 3'`, `\(3 rows\)`},
	{`curl -X POST $CLOUD/jobs/1001/continue`, `Follow-up workflow ran for import \d+: 22 records`},
	{`starter diff laptops`, `(?m)^changed`},
	{`curl -X POST $CLOUD/faults/empty`, `fails with "empty"`},
	{`starter reimport 1002`, `needs attention: `},
	{`starter list --needs-attention`, `(?m)^1002`},
	{`starter signal 1002 reimport`, `Job 1002 of books: holding`},
	{`starter status 1002`, `delete-now`},
}

// variables are found in the demo's hints.
var variables = map[string]*regexp.Regexp{
	"DATABASE_URL":     regexp.MustCompile(`DATABASE_URL='(\S+)'`),
	"TEMPORAL_ADDRESS": regexp.MustCompile(`TEMPORAL_ADDRESS=(\S+)`),
	"CLOUD":            regexp.MustCompile(`CLOUD=(\S+)`),
}

const stepWithin = time.Minute

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "walkthrough:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "scrapehaul-walkthrough-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := builtprograms.Build(ctx, dir); err != nil {
		return err
	}
	var shown screen
	shown.add("$ go run ./demo")
	demo := exec.CommandContext(ctx, "go", "run", "./demo")
	demo.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for all of it
	demo.Stdout, demo.Stderr = shown.writer(), os.Stderr
	if err := demo.Start(); err != nil {
		return err
	}
	defer func() {
		_ = syscall.Kill(-demo.Process.Pid, syscall.SIGINT)
		_ = demo.Wait()
	}()
	if err := shown.await(`from here on:`, 10*time.Minute); err != nil {
		return err
	}
	env := append(os.Environ(), "PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for name, pattern := range variables {
		found := pattern.FindStringSubmatch(shown.text(0))
		if found == nil {
			return fmt.Errorf("the demo's hints have no %s", name)
		}
		env = append(env, name+"="+found[1])
	}
	for _, step := range steps {
		shown.add("")
		from := shown.add("$ " + step.command)
		command := exec.CommandContext(ctx, "bash", "-c", step.command)
		command.Env = env
		var problems bytes.Buffer // and curl's progress
		command.Stdout, command.Stderr = shown.writer(), &problems
		ended := command.Run() // exit status 3 says that an import needs attention
		if err := shown.awaitFrom(from, step.shows, stepWithin); err != nil {
			return fmt.Errorf("%s: %w\n%s", step.command, errors.Join(ended, err), &problems)
		}
	}
	return render(out, shown.lines)
}

// line is one of the terminal's, with when it was shown.
type line struct {
	text string
	at   time.Time
}

// screen collects what several writers show.
type screen struct {
	mu    sync.Mutex
	lines []line
}

// add shows a line, and returns its number.
func (s *screen) add(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line{text, time.Now()})
	return len(s.lines) - 1
}

// writer shows whole lines.
func (s *screen) writer() io.Writer {
	reader, writer := io.Pipe()
	go func() {
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			s.add(scanner.Text())
		}
	}()
	return writer
}

func (s *screen) text(from int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all strings.Builder
	for _, l := range s.lines[from:] {
		all.WriteString(l.text + "\n")
	}
	return all.String()
}

func (s *screen) await(pattern string, within time.Duration) error {
	return s.awaitFrom(0, pattern, within)
}

func (s *screen) awaitFrom(from int, pattern string, within time.Duration) error {
	expected := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(within); !expected.MatchString(s.text(from)); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%q was not shown within %s:\n%s", pattern, within, s.text(from))
		}
	}
	return nil
}
