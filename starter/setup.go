package main

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	MoveTaskQueue bool `help:"Have the schedule of another task queue start the imports on TASK_QUEUE from now on."`
}

// Run prepares the Temporal namespace. Running it again changes nothing but what
// is given.
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
	// One can be set up without the other.
	err = registerSearchAttributes(ctx, temporal, options.Namespace, streams)
	kept := &store{temporal: temporal, namespace: options.Namespace, given: given, move: c.MoveTaskQueue}
	if err == nil {
		kept.missingAttributes = new([]string)
	}
	return errors.Join(err, kept.print(ctx, streams.Out))
}

// print puts up the schedule of the reconciliation, or changes it, and says what it
// has now.
func (s *store) print(ctx context.Context, out io.Writer) error {
	changes, err := s.write(ctx)
	if err != nil {
		return err
	}
	done := "as it was"
	switch {
	case s.isNew:
		done = "put up"
	case len(changes) > 0:
		done = "brought up to date"
	}
	every := "every " + s.written.Every.String()
	if s.written.Every == 0 {
		every = "paused, as RECONCILE_EVERY is 0"
	}
	fmt.Fprintf(out, "schedule %s: %s, %s\n", workflows.ReconcileScheduleID, done, every)
	for _, each := range changes {
		fmt.Fprintln(out, each)
	}
	if len(changes) > 0 {
		fmt.Fprintln(out, "a starter that is given something else brings that back at its next start: change its environment too")
	}
	return nil
}

func registerSearchAttributes(ctx context.Context, temporal client.Client, namespace string, streams program.Streams) error {
	registered, err := workflows.RegisteredSearchAttributes(ctx, temporal, namespace)
	if err != nil {
		return err
	}
	var problems []error
	var names []string // of those that are missing
	missing := map[string]enumspb.IndexedValueType{}
	for _, attribute := range workflows.SearchAttributes() {
		name, want := attribute.GetName(), attribute.GetValueType()
		switch have, there := registered[name]; {
		case !there:
			names, missing[name] = append(names, name), want
		case have != want:
			problems = append(problems, fmt.Errorf("search attribute %s is there as %s, but %s is needed: use another namespace, or, if nobody needs it, "+
				"temporal operator search-attribute remove --name %s and run setup again", name, have, want, name))
		default:
			fmt.Fprintf(streams.Out, "search attribute %s: was there already\n", name)
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

// whyNotRegistered says what to do where the operator service is closed, as on
// Temporal Cloud.
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
	return fmt.Errorf("Temporal does not let us register search attributes in namespace %s (%w): on Temporal Cloud add them on the "+
		"namespace's page, or with: tcld namespace search-attributes add --namespace %s%s", namespace, err, namespace, flags)
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	_, namespace := errors.AsType[*serviceerror.NamespaceNotFound](err)
	return ok || namespace
}
