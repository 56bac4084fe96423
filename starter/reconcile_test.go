package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestReconciliationSaysWhatItRetriesOrWould(t *testing.T) {
	result := workflows.ReconcileScrapingJobsResult{Listed: 7, TriedAgain: 3, Refused: 1, WhyRefused: []string{"workflow 5 is a OrderWorkflow"}}
	for dryRun, want := range map[bool]string{
		false: "3 imports that need attention are retrying\n",
		true:  "3 imports that need attention would be retried\n",
	} {
		var out strings.Builder
		require.NoError(t, printReconciliation(&out, result, dryRun))
		require.Equal(t, "0 of 7 jobs are due: nothing started\n"+
			"1 imports failed to start or retry; the next reconciliation tries again:\n  workflow 5 is a OrderWorkflow\n"+want, out.String())
	}
}
