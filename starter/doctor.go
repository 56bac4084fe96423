package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// doctorCommand has the settings of worker and starter, except those that each checks when
// it starts: the spool's and the webhooks' secrets.
type doctorCommand struct {
	importFlags
	filterFlags
	scheduleFlags
	program.CloudFlags
	program.DatabaseFlags

	now       func() time.Time `kong:"-"` // nil: time.Now
	pollLasts time.Duration    `kong:"-"` // 0: pollLasts
}

// checkTimeout bounds each check. It is below the 10 seconds of the Temporal
// SDK's calls, so that a check knows which time is over.
const checkTimeout = 9 * time.Second

const maxSkew = 5 * time.Second

// doctor runs checks, writes a line for each, and counts what is wrong.
type doctor struct {
	settings  *doctorCommand
	out       io.Writer
	now       func() time.Time
	taskQueue string // of the workers
	wrong     int

	clients clients // of the accounts in the settings
	// open are the open imports and jobs those in the database, by account; nil if not known.
	open map[string]workflows.OpenCount
	jobs map[string]int
}

// Run goes on when a check fails, and fails at the end.
func (c *doctorCommand) Run(ctx context.Context, streams program.Streams) error {
	d := &doctor{settings: c, out: streams.Out, now: c.now}
	if d.now == nil {
		d.now = time.Now
	}
	var cloud program.Settings
	d.clients = c.Clients(&cloud, discard())
	d.checkTemporal(ctx)
	d.checkDatabase(ctx)
	d.checkCloud(ctx, &cloud)
	if d.wrong > 0 {
		return fmt.Errorf("%d checks failed", d.wrong)
	}
	return nil
}

func (d *doctor) ok(format string, args ...any) { d.line("ok", format, args...) }

func (d *doctor) fix(format string, args ...any) {
	d.wrong++
	d.line("fix", format, args...)
}

func (d *doctor) line(kind, format string, args ...any) {
	fmt.Fprintf(d.out, "%-4s  %s\n", kind, plain(fmt.Sprintf(format, args...)))
}

// settingsAreRight writes a line for each setting that is missing or wrong.
func (d *doctor) settingsAreRight(s *program.Settings) bool {
	wrong, ok := errors.AsType[*program.SettingsError](s.Err())
	if !ok {
		return true
	}
	for _, problem := range wrong.Problems {
		d.fix("%s", problem)
	}
	return false
}

// checkClock compares PostgreSQL's clock with ours, which was read right before and after.
func (d *doctor) checkClock(theirs, before, after time.Time) {
	skew := time.Duration(0)
	direction := "ahead of"
	switch {
	case theirs.Before(before):
		skew, direction = before.Sub(theirs), "behind"
	case theirs.After(after):
		skew = theirs.Sub(after)
	}
	if skew <= maxSkew {
		d.ok("PostgreSQL and this machine have the same time")
		return
	}
	d.fix("the clock of PostgreSQL is %s %s this machine's: have both set by NTP", skew.Round(time.Second), direction)
}

// discard is the logger of checks: their lines say it all.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
