package program

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"

	"go.temporal.io/sdk/activity"
)

// Attributes that say of which import a line of the log is.
const (
	jobKey = "scrapingjob_id"
	runKey = "run_id" // of the workflow
)

// newLogger returns a logger of JSON lines.
func newLogger(to io.Writer) *slog.Logger {
	return slog.New(&importHandler{Handler: slog.NewJSONHandler(to, nil)})
}

// importHandler has everything that is logged about an import say so in the same
// way, whoever logs it: Temporal's SDK names workflow and run by attributes of
// its own, and the API's client does not know that it is called by an activity.
type importHandler struct {
	slog.Handler
	said []string // of the two keys
}

// WithAttrs adds the import that the attributes name.
func (h *importHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	attributes = slices.DeleteFunc(slices.Clone(attributes), func(a slog.Attr) bool { return slices.Contains(h.said, a.Key) })
	said := append(slices.Clone(h.said), keysOf(attributes)...)
	more := missing(said, importOf(attributes))
	return &importHandler{Handler: h.Handler.WithAttrs(append(attributes, more...)), said: append(said, keysOf(more)...)}
}

// WithGroup leaves groups as they are: nothing in them names an import.
func (h *importHandler) WithGroup(name string) slog.Handler { return h.Handler.WithGroup(name) }

// Handle adds the import that the record or the activity of ctx names.
func (h *importHandler) Handle(ctx context.Context, record slog.Record) error {
	var attributes []slog.Attr
	record.Attrs(func(a slog.Attr) bool {
		attributes = append(attributes, a)
		return true
	})
	said := append(slices.Clone(h.said), keysOf(attributes)...)
	named := importOf(attributes)
	if len(named) == 0 && activity.IsActivity(ctx) {
		run := activity.GetInfo(ctx).WorkflowExecution
		named = nameImport(run.ID, run.RunID)
	}
	if more := missing(said, named); len(more) > 0 {
		record = record.Clone()
		record.AddAttrs(more...)
	}
	return h.Handler.Handle(ctx, record)
}

// importOf finds the import that the SDK's attributes name.
func importOf(attributes []slog.Attr) []slog.Attr {
	var workflowID, runID string
	for _, a := range attributes {
		switch a.Key {
		case "WorkflowID":
			workflowID = a.Value.String()
		case "RunID":
			runID = a.Value.String()
		}
	}
	return nameImport(workflowID, runID)
}

// nameImport returns nothing if the workflow is no import: those have the job's
// ID.
func nameImport(workflowID, runID string) []slog.Attr {
	id, err := strconv.ParseInt(workflowID, 10, 64)
	if err != nil || runID == "" {
		return nil
	}
	return []slog.Attr{slog.Int64(jobKey, id), slog.String(runKey, runID)}
}

func missing(said []string, attributes []slog.Attr) []slog.Attr {
	return slices.DeleteFunc(attributes, func(a slog.Attr) bool { return slices.Contains(said, a.Key) })
}

// keysOf returns those of the two keys that are there.
func keysOf(attributes []slog.Attr) (keys []string) {
	for _, a := range attributes {
		if a.Key == jobKey || a.Key == runKey {
			keys = append(keys, a.Key)
		}
	}
	return keys
}
