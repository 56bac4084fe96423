package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestPanicNeedsAttentionImmediately(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(*activities.ImportRecordsResult) error {
		var none *activities.ImportRecordsResult
		none.Records++
		return nil
	}
	w.asks(t, func(attention string) {
		require.Contains(t, attention, "nil pointer dereference")
		w.onImport = nil
		w.SignalWorkflow(workflows.ReimportSignal, nil)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 2)
}
