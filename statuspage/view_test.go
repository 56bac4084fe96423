package statuspage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestHeldImportsAreInTheOrderOfTheirDeletionWhateverIsPending(t *testing.T) {
	h := handler{}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	held := func(id int64, after time.Duration, pending *overview.Activity) overview.Import {
		until := at.Add(after)
		return overview.Import{
			ScrapingJobID: id, Open: true, ProgressKnown: true, Activity: pending,
			Progress: workflows.Progress{Step: workflows.StepHold, DeleteAfter: &until},
		}
	}
	_, sorted, _ := split(h.viewImports([]overview.Import{
		held(1, 2*time.Hour, nil),
		held(2, time.Hour, &overview.Activity{Name: "RemoveFile", Attempt: 1}), // no worker has taken it yet
	}, at))
	require.Equal(t, []int64{2, 1}, []int64{sorted[0].ScrapingJobID, sorted[1].ScrapingJobID})
}
