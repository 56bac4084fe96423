// Package builtprograms builds the worker and the starter and runs them as
// processes, as in production, for the demo, the benchmark and the tests.
package builtprograms

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/webhook"
)

const module = "github.com/scrapehaul/scrapehaul"

// readyTimeout is what a process may take until it works. It takes a second on
// an idle machine.
const readyTimeout = time.Minute

// commandWithin is what a command of the starter may take: one that waits for what never
// comes fails, instead of the whole test program.
const commandWithin = 3 * time.Minute

// Programs are the files of the two programs.
type Programs struct {
	Worker, Starter string
}

// Build builds both programs into dir, as the Dockerfile does, with build tags
// such as "s3".
func Build(ctx context.Context, dir string, tags ...string) (Programs, error) {
	build := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-tags", strings.Join(tags, ","), "-o", dir+string(filepath.Separator),
		module+"/worker", module+"/starter")
	if output, err := build.CombinedOutput(); err != nil {
		return Programs{}, fmt.Errorf("building the worker and the starter: %w\n%s", err, output)
	}
	return Programs{Worker: filepath.Join(dir, "worker"), Starter: filepath.Join(dir, "starter")}, nil
}

// Environment is what the processes work with.
type Environment struct {
	TemporalAddress   string
	TemporalNamespace string
	DatabaseURL       string
	APIBaseURI        string
	APIToken          string
	WebhookToken      string
	// Settings are further settings of a process, such as
	// "HOLD_BEFORE_DELETE": "0".
	Settings map[string]string
	// Log receives the processes' logs; nil discards them.
	Log io.Writer
}

// With returns the environment with one more setting.
func (e Environment) With(name, value string) Environment {
	settings := map[string]string{name: value}
	for n, v := range e.Settings {
		if n != name {
			settings[n] = v
		}
	}
	e.Settings = settings
	return e
}

// Variables are those of the environment, NAME=value. They leave out this
// process's own settings of Temporal and PostgreSQL.
func (e Environment) Variables() []string {
	all := map[string]string{
		"TEMPORAL_ADDRESS":        e.TemporalAddress,
		"TEMPORAL_NAMESPACE":      e.TemporalNamespace,
		"TEMPORAL_CONFIG_FILE":    os.DevNull,
		"WEBSCRAPER_API_BASE_URI": e.APIBaseURI,
		"WEBSCRAPER_API_TOKEN":    e.APIToken,
		"DATABASE_URL":            e.DatabaseURL,
		"WEBHOOK_TOKENS":          e.WebhookToken,
		"LISTEN_ADDRESS":          "127.0.0.1:0",
	}
	for name, value := range e.Settings {
		all[name] = value
	}
	var variables []string
	for name, value := range all {
		variables = append(variables, name+"="+value)
	}
	return variables
}

// StartWorker starts a worker on the spool folder, which it makes if need be, and
// returns when it works.
func (p Programs) StartWorker(env Environment, spoolDir string) (*childprocess.Process, error) {
	if err := os.MkdirAll(spoolDir, 0o700); err != nil {
		return nil, err
	}
	process, _, err := start(p.Worker, []string{"run"}, env.With("SPOOL_DIR", spoolDir), "Worker started")
	return process, err
}

// StartStarter starts the webhook server and returns, when it serves, the URL
// that notifications go to, with its token.
func (p Programs) StartStarter(env Environment) (process *childprocess.Process, webhookURL string, err error) {
	process, line, err := start(p.Starter, []string{"serve"}, env, "Starter serving")
	if err != nil {
		return nil, "", err
	}
	return process, "http://" + line.Address + webhook.Path + "?token=" + env.WebhookToken, nil
}

// RunStarter runs a command of the starter to its end and returns its output.
func (p Programs) RunStarter(ctx context.Context, env Environment, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandWithin, fmt.Errorf("it took longer than %s", commandWithin))
	defer cancel()
	command := exec.CommandContext(ctx, p.Starter, args...)
	command.Env = env.Variables()
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("starter %v: %w\n%s", args, cmp.Or(context.Cause(ctx), err), output)
	}
	return string(output), nil
}

// logLine is what is read of a process's log.
type logLine struct {
	Message string `json:"msg"`
	Address string `json:"address"`
}

// start starts a program and waits for a line in its log.
func start(path string, args []string, env Environment, message string) (*childprocess.Process, logLine, error) {
	found := make(chan logLine, 1)
	log := &lineWatcher{to: env.Log, message: message, found: found}
	process, err := childprocess.Start(childprocess.Command{
		Path: path, Args: args, Env: env.Variables(), Log: log, StopTimeout: 40 * time.Second,
	})
	if err != nil {
		return nil, logLine{}, err
	}
	select {
	case line := <-found:
		return process, line, nil
	case <-process.Done():
		return nil, logLine{}, process.EndedByItself()
	case <-time.After(readyTimeout):
		err := fmt.Errorf("%s is not ready after %s", filepath.Base(path), readyTimeout)
		return nil, logLine{}, errors.Join(err, process.Stop())
	}
}

// lineWatcher passes a log on and looks for the first line with a message.
type lineWatcher struct {
	to      io.Writer
	message string

	mu      sync.Mutex
	found   chan<- logLine // nil once found
	partial []byte
}

func (w *lineWatcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.found != nil {
		w.partial = append(w.partial, p...)
		for w.found != nil {
			line, rest, whole := bytes.Cut(w.partial, []byte("\n"))
			if !whole {
				break
			}
			w.look(line)
			w.partial = rest
		}
	}
	if w.to == nil {
		return len(p), nil
	}
	return w.to.Write(p)
}

func (w *lineWatcher) look(line []byte) {
	var read logLine
	if json.Unmarshal(line, &read) == nil && read.Message == w.message {
		w.found <- read
		w.found = nil
	}
}
