package workflows_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestARunIsKnownToBeNewByItsID(t *testing.T) {
	begun := time.Now()
	id := uuid.Must(uuid.NewV7()).String()
	require.True(t, workflows.StartedSince(begun, id))
	require.False(t, workflows.StartedSince(begun.Add(10*time.Second), id), "it was there")
	for _, other := range []string{uuid.NewString(), "", "default-test-run-id", "zzzzzzzz-zzzz-7zzz-zzzz-zzzzzzzzzzzz"} {
		require.False(t, workflows.StartedSince(begun, other), other)
	}
}
