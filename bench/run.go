package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/localservers"
)

// part is one of the benchmark's parts.
type part struct {
	name    string // as an argument
	measure func(context.Context, *stage, *result) error
}

var parts = []part{
	{"import", measureImport},
	{"mapping", measureMapping},
	{"read", measureRead},
	{"changes", measureChanges},
	{"download", measureDownload},
	{"end-to-end", measureEndToEnd},
	{"webhook", measureWebhook},
	{"resume", measureResume},
	{"scale", measureScale},
	{"budget", measureBudget},
	{"retention", measureRetention},
	{"growth", measureGrowth},
}

// sizes are how much is measured.
type sizes struct {
	Rounds   int   `default:"3" placeholder:"N" help:"Rounds in which the contenders take turns. Default: ${default}."`
	Records  int   `default:"1000000" placeholder:"N" help:"Records of about 520 bytes; the large job of end-to-end and scale has five times as many. Default: ${default}."`
	Jobs     []int `default:"1,100,1000" placeholder:"N,…" help:"Numbers of small jobs that finish at the same time. Default: ${default}."`
	Requests int   `default:"2000" placeholder:"N" help:"Notifications for each number of connections. Default: ${default}."`

	ScaleJobs    int `default:"200" placeholder:"N" help:"Jobs that are notified at the same time, for each number of workers. Default: ${default}."`
	ScaleRecords int `default:"10000" placeholder:"N" help:"Records of each of them. Default: ${default}."`
	FairJobs     int `default:"50" placeholder:"N" help:"Small jobs that come while scale's large one is imported. Default: ${default}."`

	RetentionRecords int `default:"100000" placeholder:"N" help:"Records of each of retention's 365 daily jobs. Default: ${default}."`

	GrowthJobs        []int `default:"10,100,1000" placeholder:"N,…" help:"Numbers of jobs that are there before growth's, ascending. Default: ${default}."`
	GrowthRecords     int   `default:"100000" placeholder:"N" help:"Records of each of them, and of growth's job. Default: ${default}."`
	GrowthRecordBytes int   `default:"80" placeholder:"N" help:"How long the records are that are there before; growth's are of 520 bytes. Default: ${default}."`
	GrowthImports     int   `default:"50000" placeholder:"N" help:"Imports in the history that operators see. Default: ${default}."`
	GrowthOpen        int   `default:"5000" placeholder:"N" help:"Open workflows that they see. Default: ${default}."`

	BudgetWindow time.Duration `default:"60s" placeholder:"DURATION" help:"How long the API's window of 15 minutes is for the 300 jobs of budget, in whole seconds. Default: ${default}."`
}

func (s *sizes) validate(problems *program.Settings) {
	for name, value := range map[string]int{
		"--rounds": s.Rounds, "--records": s.Records, "--requests": s.Requests, "--jobs": slices.Min(append(s.Jobs, len(s.Jobs))),
		"--scale-jobs": s.ScaleJobs, "--scale-records": s.ScaleRecords, "--fair-jobs": s.FairJobs, "--retention-records": s.RetentionRecords,
		"--growth-jobs": slices.Min(append(s.GrowthJobs, len(s.GrowthJobs))), "--growth-records": s.GrowthRecords, "--growth-record-bytes": s.GrowthRecordBytes,
		"--growth-imports": s.GrowthImports, "--growth-open": s.GrowthOpen,
	} {
		if value < 1 {
			problems.Problem("%s is %d: want at least 1", name, value)
		}
	}
	if s.BudgetWindow < time.Second {
		problems.Problem("--budget-window is %s: want at least 1s", s.BudgetWindow)
	}
}

type runCommand struct {
	sizes
	Parts []string `arg:"" optional:"" name:"part" help:"import, mapping, read, changes, download, end-to-end, webhook, resume, scale, budget, retention, growth. Default: all."`
	JSON  bool     `name:"json" help:"Print one JSON object, and the tables to standard error."`
}

// Run measures the parts one after the other. What was measured is printed even
// if another part fails.
func (c *runCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	c.validate(&s)
	for _, name := range c.Parts {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			s.Problem("there is no part %q: --help lists them", name)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	return localservers.Run(ctx, "bench", streams.Err, func(servers *localservers.Servers) error {
		return c.measure(ctx, servers, streams)
	})
}

func (c *runCommand) measure(ctx context.Context, servers *localservers.Servers, streams program.Streams) error {
	tables := streams.Out
	if c.JSON {
		tables = streams.Err
	}
	all := &stage{sizes: c.sizes, Servers: servers, dir: servers.Dir}
	all.programs = sync.OnceValues(func() (builtprograms.Programs, error) {
		all.step("Building the worker and the starter")
		return builtprograms.Build(ctx, all.dir)
	})
	var results []*result
	var problems []error
	for _, p := range parts {
		if len(c.Parts) > 0 && !slices.Contains(c.Parts, p.name) || ctx.Err() != nil {
			continue
		}
		r := &result{part: p.name}
		if err := all.apart(p.name, func(s *stage) error { return p.measure(ctx, s, r) }); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", p.name, err))
		}
		results = append(results, r)
		r.print(tables)
	}
	if c.JSON {
		problems = append(problems, printJSON(streams.Out, results))
	}
	return errors.Join(problems...)
}
