package program

import (
	"context"
	"log/slog"
	"slices"
	"strconv"

	"go.temporal.io/sdk/activity"
)

// Attributes that name the import of a log line.
const (
	jobKey = "scrapingjob_id"
	runKey = "run_id" // of the workflow
)

// importHandler adds the same attributes to all log lines about an import: Temporal's SDK
// names workflow and run by its own attributes, and the API client does not know which
// activity calls it.
type importHandler struct {
	slog.Handler
	attributes []slog.Attr // of every line
}

// WithAttrs keeps the attributes for Handle, which needs all of a line's attributes.
func (h *importHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &importHandler{h.Handler, slices.Concat(h.attributes, attributes)}
}

// WithGroup leaves groups unchanged: nothing in them names an import.
func (h *importHandler) WithGroup(name string) slog.Handler {
	return h.Handler.WithAttrs(h.attributes).WithGroup(name)
}

// Handle adds the import named by the attributes or by the activity of ctx, once.
func (h *importHandler) Handle(ctx context.Context, record slog.Record) error {
	line := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	texts := map[string]string{} // of attributes that name an import
	add := func(a slog.Attr) bool {
		switch a.Key {
		case jobKey, runKey, "WorkflowID", "RunID":
			if _, present := texts[a.Key]; present {
				return true
			}
			texts[a.Key] = a.Value.String()
		}
		line.AddAttrs(a)
		return true
	}
	for _, a := range h.attributes {
		add(a)
	}
	record.Attrs(add)
	id, err := strconv.ParseInt(texts["WorkflowID"], 10, 64) // an import's workflow has the job's ID
	run := texts["RunID"]
	if err != nil && activity.IsActivity(ctx) {
		of := activity.GetInfo(ctx).WorkflowExecution
		id, err = strconv.ParseInt(of.ID, 10, 64)
		run = of.RunID
	}
	if err == nil && run != "" {
		add(slog.Int64(jobKey, id))
		add(slog.String(runKey, run))
	}
	return h.Handler.Handle(ctx, line)
}
