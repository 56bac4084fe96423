package main

import (
	"context"
	_ "embed"
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
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
)

const (
	apiToken     = "demo-api-token"
	pageUser     = "demo"
	pagePassword = "demo-password"
)

//go:embed mappings.yaml
var mappings []byte

type runCommand struct {
	Once bool          `help:"Exit when all jobs are imported and checked; exit status 0 if they are as expected."`
	Hold time.Duration `default:"1h" help:"How long jobs stay in the cloud after their import. Default: ${default}; 0 with --once."`
}

// Run starts everything, shows the imports, and stops everything.
func (c *runCommand) Run(ctx context.Context, streams program.Streams) error {
	return localservers.Run(ctx, "demo", streams.Out, func(servers *localservers.Servers) error {
		d := &demo{out: streams.Out, servers: servers}
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
		d.explain()
		d.follow(ctx)
		d.say("\nStopping")
		return nil
	})
}

// demo has everything that runs.
type demo struct {
	out     io.Writer
	servers *localservers.Servers // their folder also has the programs and the spool
	localservers.System
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) start(ctx context.Context, hold time.Duration) error {
	d.servers.Progress("Compiling the worker and the starter: about a minute on 2 cores the first time, then seconds")
	obtained := make(chan error, 1) // by download, or by a build of minutes
	go func() {
		_, err := temporalserver.Program(ctx, d.servers.Progress)
		obtained <- err
	}()
	programs, err := builtprograms.Build(ctx, d.servers.Dir)
	if err != nil {
		return err
	}
	if err := <-obtained; err != nil {
		return err
	}
	mappingsFile := filepath.Join(d.servers.Dir, "mappings.yaml")
	if err := os.WriteFile(mappingsFile, mappings, 0o600); err != nil {
		return err
	}
	cloud := newCloud(apiToken, slog.New(slog.NewJSONHandler(d.servers.Log, nil)))
	d.System, err = d.servers.System(ctx, localservers.SystemOptions{
		Programs: programs, Database: "scrapehaul_demo", UI: true, Setup: true, Cloud: cloud, Handler: cloudHandler(cloud), APIToken: apiToken,
		Settings: map[string]string{
			"HOLD_BEFORE_DELETE": hold.String(), "ON_PUBLISHED": "FollowUp@" + hostQueue, "MAPPINGS": mappingsFile,
			"STATUS_PAGE_USER": pageUser, "STATUS_PAGE_PASSWORD": pagePassword,
		},
	})
	if err != nil {
		return err
	}
	d.servers.Progress("Starting our worker, and another team's with its own workflows")
	if err := d.startHost(); err != nil {
		return err
	}
	if _, err := d.servers.Worker(programs, d.Env, filepath.Join(d.servers.Dir, "spool")); err != nil {
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
