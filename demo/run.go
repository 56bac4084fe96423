package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/localservers"
)

const apiToken = "demo-api-token"

type runCommand struct {
	Once bool          `help:"End as soon as all jobs are imported and checked; exit status 0 if they are as expected."`
	Hold time.Duration `default:"1h" help:"How long jobs stay in the cloud after their import. Default: ${default}; 0 with --once."`
}

// Run brings everything up, shows the imports, and takes everything down.
func (c *runCommand) Run(ctx context.Context, streams program.Streams) (err error) {
	d := &demo{out: streams.Out, begun: time.Now()}
	d.servers.Progress = d.step
	defer func() {
		err = errors.Join(err, d.servers.Stop())
		if err != nil && d.logPath != "" {
			err = fmt.Errorf("%w\nthe logs are in %s", err, d.logPath)
		} else if d.dir != "" {
			err = errors.Join(err, os.RemoveAll(d.dir))
		}
	}()
	hold := c.Hold
	if c.Once {
		hold = 0
	}
	if err := d.start(ctx, hold); err != nil {
		return err
	}
	if err := d.watch(ctx, c.Once); err != nil {
		return err
	}
	if ctx.Err() != nil || c.Once {
		return nil
	}
	if err := d.explain(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	d.say("\nStopping")
	return nil
}

// demo is everything that runs.
type demo struct {
	out     io.Writer
	begun   time.Time
	dir     string // for programs, the spool and logs
	logPath string
	servers localservers.Servers
	localservers.System
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// step says what is being done.
func (d *demo) step(text string) { d.say("%5.1fs  %s", time.Since(d.begun).Seconds(), text) }

func (d *demo) start(ctx context.Context, hold time.Duration) (err error) {
	if d.dir, err = os.MkdirTemp("", "scrapehaul-demo-"); err != nil {
		return err
	}
	d.logPath = filepath.Join(d.dir, "demo.log")
	logFile, err := os.Create(d.logPath)
	if err != nil {
		return err
	}
	d.servers.OnStop(logFile.Close)
	d.servers.Log = logFile

	d.step("Building the worker and the starter (a minute the first time, then a second)")
	programs, err := builtprograms.Build(ctx, d.dir)
	if err != nil {
		return err
	}
	cloud := newCloud(apiToken, slog.New(slog.NewJSONHandler(logFile, nil)))
	d.System, err = d.servers.System(ctx, localservers.SystemOptions{
		Programs: programs, Database: "scrapehaul_demo", UI: true, Cloud: cloud, Handler: cloudHandler(cloud), APIToken: apiToken,
		Settings: map[string]string{"HOLD_BEFORE_DELETE": hold.String()},
	})
	if err != nil {
		return err
	}
	d.step("Starting a worker")
	if _, err := d.servers.Worker(programs, d.Env, filepath.Join(d.dir, "spool")); err != nil {
		return err
	}
	addJobs(cloud)
	clock, stopClock := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { cloud.Run(clock) })
	d.servers.OnStop(func() error {
		stopClock()
		running.Wait()
		return nil
	})
	return nil
}
