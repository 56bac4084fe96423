package program

import (
	"context"
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

// importHandler has everything that is logged about an import say so in the same
// way, whoever logs it: Temporal's SDK names workflow and run by attributes of
// its own, and the API's client does not know that it is called by an activity.
type importHandler struct {
	slog.Handler
	attributes []slog.Attr // of every line
}

// WithAttrs keeps the attributes for Handle, which looks at all of a line together.
func (h *importHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &importHandler{h.Handler, slices.Concat(h.attributes, attributes)}
}

// WithGroup leaves groups as they are: nothing in them names an import.
func (h *importHandler) WithGroup(name string) slog.Handler {
	return h.Handler.WithAttrs(h.attributes).WithGroup(name)
}

// Handle says once which import the attributes, or the activity of ctx, name.
func (h *importHandler) Handle(ctx context.Context, record slog.Record) error {
	line := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	texts := map[string]string{} // of the attributes that name an import
	add := func(a slog.Attr) bool {
		switch a.Key {
		case jobKey, runKey, "WorkflowID", "RunID":
			if _, said := texts[a.Key]; said {
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
