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

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// errTaskQueue ends a starter: the namespace belongs to another installation.
var errTaskQueue = errors.New("this namespace belongs to another installation")

// store writes the given settings to the reconciliation schedule, the only place that
// stores import settings.
type store struct {
	temporal          client.Client
	namespace         string
	given             given
	move              bool      // to the given task queue
	missingAttributes *[]string // nil: unknown, leave as they are

	written workflows.Installation
	isNew   bool
	indexed bool // other search attributes than before
}

// write returns what it changed.
func (s *store) write(ctx context.Context) (changes []change, err error) {
	err = workflows.ChangeInstallation(ctx, s.temporal, s.namespace, func(i *workflows.Installation, isNew bool) error {
		if isNew && s.written.TaskQueue != "" {
			*i = s.written // someone removed it
		}
		was := i.TaskQueue
		made := s.given.apply(i)
		if i.TaskQueue != was && !isNew && !s.move {
			return fmt.Errorf("%w: the schedule %s of %s is for task queue %s, and TASK_QUEUE is %s: give each installation its own namespace "+
				"(TEMPORAL_NAMESPACE), or set TASK_QUEUE=%s; to move the existing one, run starter setup --move-task-queue",
				errTaskQueue, workflows.ReconcileScheduleID, s.namespace, was, i.TaskQueue, was)
		}
		if s.missingAttributes != nil {
			before := i.Settings
			i.Settings.UseSearchAttributes(*s.missingAttributes)
			s.indexed = s.indexed || i.Settings.SearchAttributes != before.SearchAttributes || i.Settings.AccountAttribute != before.AccountAttribute
		}
		// This function runs once more to verify the write; that run makes no changes.
		if len(made) > 0 {
			changes = made
		}
		s.written, s.isNew = *i, s.isNew || isNew
		return nil
	})
	return changes, err
}

// currentSettings are the schedule's settings as a running starter knows them.
type currentSettings struct {
	given        given
	namespace    string
	refreshEvery time.Duration
	logger       *slog.Logger

	known  chan struct{} // closed after the first read
	latest atomic.Pointer[workflows.Settings]
	why    atomic.Pointer[error] // why the last read failed
}

func newCurrentSettings(namespace string, given given, refreshEvery time.Duration, logger *slog.Logger) *currentSettings {
	return &currentSettings{given: given, namespace: namespace, refreshEvery: refreshEvery, logger: logger, known: make(chan struct{})}
}

// settingsTimeout is how long a notification waits for a starter that has just started.
const settingsTimeout = 3 * time.Second

// get fails while the settings are unknown: an import must not start with a shorter hold
// than the schedule's.
func (c *currentSettings) get(ctx context.Context) (workflows.Settings, error) {
	ctx, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	select {
	case <-c.known:
		return *c.latest.Load(), nil
	case <-ctx.Done():
		err := ctx.Err()
		if why := c.why.Load(); why != nil {
			err = *why
		}
		return workflows.Settings{}, fmt.Errorf("the import settings are not known yet: %w", err)
	}
}

// retryAfter is the pause between two attempts to reach Temporal.
const retryAfter = 5 * time.Second

// keep writes the given settings and follows the schedule until ctx ends. It returns early
// only if the namespace belongs to another installation.
func (c *currentSettings) keep(ctx context.Context, temporal client.Client) error {
	kept := &store{temporal: temporal, namespace: c.namespace, given: c.given}
	pause, failed := retryAfter, "Reading or writing the import settings failed; retrying"
	for logged := false; ; {
		switch err := c.refresh(ctx, kept); {
		case errors.Is(err, errTaskQueue):
			return err
		case err == nil:
			// From now on, others may change what was given.
			kept.given, logged = given{}, false
			pause, failed = c.refreshEvery, "Refreshing the import settings failed; using the last known ones"
		default:
			if c.why.Store(&err); !logged && ctx.Err() == nil {
				c.logger.Warn(failed, "schedule", workflows.ReconcileScheduleID, "error", err)
			}
			logged = true
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

// refresh writes the given settings and reads what others changed, including whether the
// namespace has the search attributes, which may be registered without setup. It recreates
// a removed schedule.
func (c *currentSettings) refresh(ctx context.Context, kept *store) error {
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
		c.logger.Warn("Listing the namespace's search attributes failed; using the schedule's setting",
			"namespace", c.namespace, "used", now.SearchAttributes, "error", unknown)
	case first && len(missing) > 0:
		c.logger.Info(program.Commands("Search attributes are not registered; to find imports by state or sitemap, run starter setup"),
			"namespace", c.namespace, "missing", missing)
	case !first && (now.SearchAttributes != used.SearchAttributes || now.AccountAttribute != used.AccountAttribute):
		c.logger.Info("The namespace's search attributes changed", "namespace", c.namespace, "missing", missing)
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
