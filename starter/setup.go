package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
}

// Run prepares the Temporal namespace. Running it again changes nothing.
func (c *setupCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	settings := c.settings(&s)
	settings.Filter = c.filter(&s)
	every := c.every(&s)
	flags := temporalFlags{TaskQueue: c.TaskQueue}
	temporal, options, err := flags.connect(ctx, &s)
	if err != nil {
		return err
	}
	defer temporal.Close()
	// One can be set up without the other.
	err = registerSearchAttributes(ctx, temporal, options.Namespace, streams)
	settings.SearchAttributes = err == nil
	return errors.Join(err, c.schedule(ctx, temporal.ScheduleClient(), every, settings, streams))
}

// schedule puts up the schedule of the reconciliation, or removes it, and says
// so.
func (c *setupCommand) schedule(
	ctx context.Context, schedules client.ScheduleClient, every time.Duration, settings workflows.Settings, streams program.Streams,
) error {
	const id = workflows.ReconcileScheduleID
	if every == 0 {
		if err := workflows.ScheduleReconciliation(ctx, schedules, c.TaskQueue, 0, settings); err != nil {
			return err
		}
		fmt.Fprintf(streams.Out, "schedule %s: there is none, as RECONCILE_EVERY is 0\n", id)
		return nil
	}
	done := "brought up to date"
	if _, err := schedules.GetHandle(ctx, id).Describe(ctx); isNotFound(err) {
		done = "put up"
	} else if err != nil {
		return fmt.Errorf("looking for the schedule %s: %w", id, err)
	}
	if err := workflows.ScheduleReconciliation(ctx, schedules, c.TaskQueue, every, settings); err != nil {
		return err
	}
	fmt.Fprintf(streams.Out, "schedule %s: %s, every %s\n", id, done, every)
	return nil
}

// registerSearchAttributes registers what is missing and says what it did for
// each.
func registerSearchAttributes(ctx context.Context, temporal client.Client, namespace string, streams program.Streams) error {
	registered, err := workflows.RegisteredSearchAttributes(ctx, temporal, namespace)
	if err != nil {
		return err
	}
	missing := map[string]enumspb.IndexedValueType{}
	done := map[string]string{}
	var problems []error
	for _, attribute := range workflows.SearchAttributes() {
		name, want := attribute.GetName(), attribute.GetValueType()
		switch have, ok := registered[name]; {
		case !ok:
			missing[name], done[name] = want, "registered"
		case have == want:
			done[name] = "was there already"
		default:
			problems = append(problems, conflict(name, have, want))
		}
	}
	if len(missing) > 0 {
		_, err := temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: missing,
		})
		if err != nil {
			problems = append(problems, whyNotRegistered(err, namespace, missing))
			for name := range missing {
				delete(done, name)
			}
		}
	}
	for _, attribute := range workflows.SearchAttributes() {
		if said := done[attribute.GetName()]; said != "" {
			fmt.Fprintf(streams.Out, "search attribute %s: %s\n", attribute.GetName(), said)
		}
	}
	return errors.Join(problems...)
}

func conflict(name string, have, want enumspb.IndexedValueType) error {
	return fmt.Errorf("search attribute %s is there as %s, but %s is needed: use another namespace, or, if nobody needs it, "+
		"temporal operator search-attribute remove --name %s and run setup again", name, have, want, name)
}

// whyNotRegistered says what to do where the operator service is closed, as on
// Temporal Cloud.
func whyNotRegistered(err error, namespace string, missing map[string]enumspb.IndexedValueType) error {
	_, denied := errors.AsType[*serviceerror.PermissionDenied](err)
	_, unimplemented := errors.AsType[*serviceerror.Unimplemented](err)
	if !denied && !unimplemented {
		return fmt.Errorf("registering search attributes in namespace %s: %w", namespace, err)
	}
	var flags strings.Builder
	for _, attribute := range workflows.SearchAttributes() {
		if _, ok := missing[attribute.GetName()]; ok {
			fmt.Fprintf(&flags, " --search-attribute %s=Keyword", attribute.GetName())
		}
	}
	return fmt.Errorf("Temporal does not let us register search attributes in namespace %s (%w): on Temporal Cloud add them on the "+
		"namespace's page, or with: tcld namespace search-attributes add --namespace %s%s", namespace, err, namespace, flags.String())
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*serviceerror.NotFound](err)
	_, namespace := errors.AsType[*serviceerror.NamespaceNotFound](err)
	return ok || namespace
}
