package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type setupCommand struct {
	importFlags
	filterFlags
	scheduleFlags
	MoveTaskQueue bool `help:"Move the schedule from another task queue to TASK_QUEUE."`
}

// Run prepares the Temporal namespace. Running it again changes only the given settings.
func (c *setupCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	given := givenBy(c.importFlags, c.filterFlags, c.scheduleFlags)
	given.validate(&s)
	if c.MoveTaskQueue && c.TaskQueue == nil {
		s.Required("TASK_QUEUE", "", "where --move-task-queue moves imports to")
	}
	options := s.Temporal(discard())
	if err := s.Err(); err != nil {
		return err
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	// Each can be set up without the other.
	err = registerSearchAttributes(ctx, temporal, options.Namespace, streams)
	kept := &store{temporal: temporal, namespace: options.Namespace, given: given, move: c.MoveTaskQueue}
	if err == nil {
		kept.missingAttributes = new([]string)
	}
	return errors.Join(err, kept.print(ctx, streams.Out))
}

// print creates or updates the reconciliation schedule and prints its state.
func (s *store) print(ctx context.Context, out io.Writer) error {
	changes, err := s.write(ctx)
	if err != nil {
		return err
	}
	done := "unchanged"
	switch {
	case s.isNew:
		done = "created"
	case len(changes) > 0, s.indexed:
		done = "updated"
	}
	every := "every " + s.written.Every.String()
	if s.written.Every == 0 {
		every = "paused, as RECONCILE_EVERY is 0"
	}
	if s.isNew {
		var set []string
		for _, each := range changes {
			if each.name != "RECONCILE_EVERY" { // printed already
				set = append(set, each.name+"="+each.to)
			}
		}
		if len(set) > 0 {
			every += ", with " + strings.Join(set, ", ")
		}
		changes = nil
	}
	fmt.Fprintf(out, "schedule %s: %s, %s\n", workflows.ReconcileScheduleID, done, every)
	for _, each := range changes {
		fmt.Fprintln(out, each)
		if each.name == "TASK_QUEUE" {
			fmt.Fprintf(out, program.Commands("open imports stay on task queue %s: keep a worker there until starter doctor no longer names it\n"), each.from)
		}
	}
	if s.indexed && !s.isNew {
		fmt.Fprintln(out, "new imports set the search attributes")
	}
	if len(changes) > 0 {
		fmt.Fprintln(out, "if a starter has another value in its environment, its next start changes this back: change it there too")
	}
	return nil
}

func registerSearchAttributes(ctx context.Context, temporal client.Client, namespace string, streams program.Streams) error {
	registered, err := workflows.RegisteredSearchAttributes(ctx, temporal, namespace)
	if err != nil {
		return err
	}
	var problems []error
	var names []string // of missing ones
	missing := map[string]enumspb.IndexedValueType{}
	for _, attribute := range workflows.SearchAttributes() {
		name, want := attribute.GetName(), attribute.GetValueType()
		switch have, there := registered[name]; {
		case !there:
			names, missing[name] = append(names, name), want
		case have != want:
			problems = append(problems, fmt.Errorf("search attribute %s has type %s, but %s is needed: use another namespace or, if nothing else uses it, "+
				"run temporal operator search-attribute remove --name %s and then setup again", name, have, want, name))
		default:
			fmt.Fprintf(streams.Out, "search attribute %s: already registered\n", name)
		}
	}
	if len(missing) == 0 {
		return errors.Join(problems...)
	}
	_, err = temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	if err != nil {
		return errors.Join(append(problems, whyNotRegistered(err, namespace, names))...)
	}
	for _, name := range names {
		fmt.Fprintf(streams.Out, "search attribute %s: registered\n", name)
	}
	return errors.Join(problems...)
}

// whyNotRegistered says what to do if the operator service is unavailable, as on Temporal
// Cloud.
func whyNotRegistered(err error, namespace string, missing []string) error {
	_, denied := errors.AsType[*serviceerror.PermissionDenied](err)
	_, unimplemented := errors.AsType[*serviceerror.Unimplemented](err)
	if !denied && !unimplemented {
		return fmt.Errorf("registering search attributes in namespace %s: %w", namespace, err)
	}
	flags := ""
	for _, name := range missing {
		flags += " --search-attribute " + name + "=Keyword"
	}
	return fmt.Errorf("Temporal refuses to register search attributes in namespace %s (%w): on Temporal Cloud, add them on the "+
		"namespace's page or with: tcld namespace search-attributes add --namespace %s%s", namespace, err, namespace, flags)
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	_, namespace := errors.AsType[*serviceerror.NamespaceNotFound](err)
	return ok || namespace
}
