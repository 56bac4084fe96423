// Package builtprograms builds the worker and the starter and runs them as processes, as in
// production, for the demo, the benchmark and tests.
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

// readyTimeout bounds the start of a process, which takes a second on an idle machine.
const readyTimeout = time.Minute

// commandWithin bounds a command of the starter, so that one that hangs fails instead of
// the whole test binary.
const commandWithin = 3 * time.Minute

// Programs are the paths of the two programs.
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

// Environment is the environment of the processes.
type Environment struct {
	TemporalAddress   string
	TemporalNamespace string
	DatabaseURL       string
	APIBaseURI        string
	APIToken          string
	WebhookToken      string
	// Settings are further settings, such as "HOLD_BEFORE_DELETE": "0".
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

// Variables returns the environment as NAME=value. This process's own settings for Temporal
// and PostgreSQL are left out.
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

// StartWorker starts a worker on the spool folder, which it creates if necessary, and
// returns when the worker is ready.
func (p Programs) StartWorker(env Environment, spoolDir string) (*childprocess.Process, error) {
	if err := os.MkdirAll(spoolDir, 0o700); err != nil {
		return nil, err
	}
	process, _, err := start(p.Worker, []string{"run"}, env.With("SPOOL_DIR", spoolDir), "Worker started")
	return process, err
}

// StartStarter starts the webhook server and returns, when it is serving, the URL for
// notifications, with its token.
func (p Programs) StartStarter(env Environment) (process *childprocess.Process, webhookURL string, err error) {
	process, line, err := start(p.Starter, []string{"serve"}, env, "Starter serving")
	if err != nil {
		return nil, "", err
	}
	return process, "http://" + line.Address + webhook.Path + "?token=" + env.WebhookToken, nil
}

// RunStarter runs a command of the starter and returns its output.
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

// logLine has the fields of a log line that are read.
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

// lineWatcher forwards a log and finds the first line with a message.
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
			line, rest, complete := bytes.Cut(w.partial, []byte("\n"))
			if !complete {
				break
			}
			w.check(line)
			w.partial = rest
		}
	}
	if w.to == nil {
		return len(p), nil
	}
	return w.to.Write(p)
}

func (w *lineWatcher) check(line []byte) {
	var read logLine
	if json.Unmarshal(line, &read) == nil && read.Message == w.message {
		w.found <- read
		w.found = nil
	}
}
