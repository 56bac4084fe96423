package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// doctorCommand has the settings of worker and starter, except those that each checks at
// startup: the spool's and the webhooks' secrets.
type doctorCommand struct {
	importFlags
	filterFlags
	scheduleFlags
	program.CloudFlags
	program.DatabaseFlags

	now     func() time.Time `kong:"-"` // nil: time.Now
	maxPoll time.Duration    `kong:"-"` // 0: maxPoll
}

// checkTimeout limits each check. It is below the 10-second timeout of the Temporal SDK's
// calls, so that it is this timeout that ends a check.
const checkTimeout = 9 * time.Second

const maxSkew = 5 * time.Second

// doctor runs checks, writes a line for each, and counts the failed ones.
type doctor struct {
	settings  *doctorCommand
	out       io.Writer
	now       func() time.Time
	taskQueue string // of the workers
	wrong     int

	clients clients // of the accounts in the settings
	// open has the open imports and jobs the jobs in the database, by account; nil if unknown.
	open map[string]workflows.OpenCount
	jobs map[string]int
}

// Run runs all checks, and fails at the end if any failed.
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
		return fmt.Errorf("%s failed", english.Plural(d.wrong, "check", ""))
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

// validSettings writes a line for each setting that is missing or invalid.
func (d *doctor) validSettings(s *program.Settings) bool {
	wrong, ok := errors.AsType[*program.SettingsError](s.Err())
	if !ok {
		return true
	}
	for _, problem := range wrong.Problems {
		d.fix("%s", problem)
	}
	return false
}

// checkClock compares PostgreSQL's clock with this machine's, read right before and after.
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
		d.ok("PostgreSQL's clock matches this machine's")
		return
	}
	d.fix("PostgreSQL's clock is %s %s this machine's: synchronize both with NTP", skew.Round(time.Second), direction)
}

// discard returns the logger of checks: their lines say everything.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
