package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// errTaskQueue ends a starter: the namespace is another installation's.
var errTaskQueue = errors.New("this namespace has another installation")

// store writes what was given into the schedule of the reconciliation, the one home
// of the settings that shape imports.
type store struct {
	temporal          client.Client
	namespace         string
	given             given
	move              bool      // to the task queue that was given
	missingAttributes *[]string // nil: not known, so as they are

	written workflows.Installation
	isNew   bool
}

// write returns what it has changed.
func (s *store) write(ctx context.Context) (changes []change, err error) {
	err = workflows.ChangeInstallation(ctx, s.temporal, s.namespace, func(i *workflows.Installation, isNew bool) error {
		if isNew && s.written.TaskQueue != "" {
			*i = s.written // somebody has removed it
		}
		was := i.TaskQueue
		made := s.given.apply(i)
		if i.TaskQueue != was && !isNew && !s.move {
			return fmt.Errorf("%w: the schedule %s of %s is for task queue %s, and TASK_QUEUE is %s: give each installation a namespace of its own "+
				"(TEMPORAL_NAMESPACE), or set TASK_QUEUE=%s; to move the one that is there, run starter setup --move-task-queue",
				errTaskQueue, workflows.ReconcileScheduleID, s.namespace, was, i.TaskQueue, was)
		}
		if s.missingAttributes != nil {
			i.Settings.UseSearchAttributes(*s.missingAttributes)
		}
		// It is asked once more what it changes, to see that it is there.
		if len(made) > 0 {
			changes = made
		}
		s.written, s.isNew = *i, s.isNew || isNew
		return nil
	})
	return changes, err
}

// currentSettings are those of the schedule, as a running starter knows them.
type currentSettings struct {
	given     given
	namespace string
	lookEvery time.Duration
	logger    *slog.Logger

	known  chan struct{} // closed when they have been read
	latest atomic.Pointer[workflows.Settings]
	why    atomic.Pointer[error] // of the last attempt to read them, if it failed
}

func newCurrentSettings(namespace string, given given, lookEvery time.Duration, logger *slog.Logger) *currentSettings {
	return &currentSettings{given: given, namespace: namespace, lookEvery: lookEvery, logger: logger, known: make(chan struct{})}
}

// settingsWithin is how long a notification waits for a starter that has just begun.
const settingsWithin = 3 * time.Second

// get fails as long as they are not known: an import must not be started with a
// shorter hold than the schedule says.
func (c *currentSettings) get(ctx context.Context) (workflows.Settings, error) {
	ctx, cancel := context.WithTimeout(ctx, settingsWithin)
	defer cancel()
	select {
	case <-c.known:
		return *c.latest.Load(), nil
	case <-ctx.Done():
		err := ctx.Err()
		if why := c.why.Load(); why != nil {
			err = *why
		}
		return workflows.Settings{}, fmt.Errorf("the settings of imports are not known yet: %w", err)
	}
}

// prepareAgainAfter is the pause between two attempts to reach Temporal.
const prepareAgainAfter = 5 * time.Second

// keep writes what was given, and keeps up with the schedule until ctx ends. It
// returns early only when the namespace is another installation's.
func (c *currentSettings) keep(ctx context.Context, temporal client.Client) error {
	kept := &store{temporal: temporal, namespace: c.namespace, given: c.given}
	pause, without := prepareAgainAfter, "The settings of imports cannot be read or written yet: retrying"
	for told := false; ; {
		switch err := c.look(ctx, kept); {
		case errors.Is(err, errTaskQueue):
			return err
		case err == nil:
			// Later on what was given is not the starter's to write.
			kept.given, told = given{}, false
			pause, without = c.lookEvery, "The settings of imports cannot be looked at: going on with those known"
		default:
			if c.why.Store(&err); !told && ctx.Err() == nil {
				c.logger.Warn(without, "schedule", workflows.ReconcileScheduleID, "error", err)
			}
			told = true
		}
		if !wait(ctx, pause) {
			return nil
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// look writes what was given, and takes what another has changed, and whether the
// namespace has the search attributes now, which somebody may have registered elsewhere
// than with setup. A schedule that was removed is put up again as it was.
func (c *currentSettings) look(ctx context.Context, kept *store) error {
	missing, unknown := workflows.MissingSearchAttributes(ctx, kept.temporal, c.namespace)
	if _, unreachable := errors.AsType[*serviceerror.Unavailable](unknown); unreachable || errors.Is(unknown, context.DeadlineExceeded) {
		return unknown
	}
	kept.missingAttributes = nil
	if unknown == nil {
		kept.missingAttributes = &missing
	}
	changes, err := kept.write(ctx)
	if err != nil {
		return err
	}
	now := kept.written.Settings
	used := c.latest.Swap(&now)
	switch first := used == nil; {
	case first && unknown != nil:
		c.logger.Warn("It is not known whether the namespace has the search attributes of imports: going on as the schedule says",
			"namespace", c.namespace, "used", now.SearchAttributes, "error", unknown)
	case first && len(missing) > 0:
		c.logger.Info("The namespace does not have the search attributes of imports: to find them by state or sitemap, run starter setup",
			"namespace", c.namespace, "missing", missing)
	case !first && (now.SearchAttributes != used.SearchAttributes || now.AccountAttribute != used.AccountAttribute):
		c.logger.Info("The search attributes of imports have changed in the namespace", "namespace", c.namespace, "missing", missing)
	}
	for _, each := range changes {
		c.logger.Info("Setting changed for all starters", "name", each.name, "old", each.from, "new", each.to)
	}
	if used == nil {
		if kept.written.Every > 0 {
			c.logger.Info("Reconciliation scheduled", "schedule", workflows.ReconcileScheduleID, "every", kept.written.Every.String())
		}
		close(c.known)
	}
	return nil
}
