package scrapehaul

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
)

func TestWorkerWithoutRoomTakesATaskAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fixed, err := worker.NewFixedSizeSlotSupplier(100)
		require.NoError(t, err)
		room := false
		slots := &roomySlots{SlotSupplier: fixed, hasRoom: func() bool { return room }}
		taken := func(within time.Duration) (n int) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			for n < 50 {
				if _, err := slots.ReserveSlot(ctx, nil); err != nil {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					break
				}
				n++
			}
			return n
		}
		require.Equal(t, 10, taken(10*time.Minute-time.Second))
		room = true
		require.Equal(t, 50, taken(2*time.Second), "as soon as there is room")
	})
}
