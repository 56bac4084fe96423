package activities

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func always() bool { return true }

// reserves reports whether the worker would poll now.
func (r *roomySlots) reserves(t *testing.T) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := r.ReserveSlot(ctx, nil)
	return err == nil
}

func TestWorkerWithoutRoomTakesOneDownloadPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := false
		slots := &roomySlots{hasRoom: func() bool { return room }}
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

func TestWorkerPollsForAtMostAsManyDownloadsAsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := &roomySlots{slots: newSlots(3), hasRoom: always}
		importDone, err := polls.slots.takeForImport(t.Context())
		require.NoError(t, err)
		require.True(t, polls.reserves(t))
		require.True(t, polls.reserves(t))
		require.False(t, polls.reserves(t), "two polls are open for two slots")

		downloaded, err := polls.slots.takeReserved(t.Context())
		require.NoError(t, err)
		require.False(t, polls.reserves(t), "the download has the slot of its own poll")
		polls.ReleaseSlot(nil) // the other poll got no task
		require.True(t, polls.reserves(t))
		downloaded()
		require.False(t, polls.reserves(t), "before the SDK has its permit back")
		polls.ReleaseSlot(nil)
		require.True(t, polls.reserves(t))
		require.False(t, polls.reserves(t))

		importDone()
		require.True(t, polls.reserves(t))
	})
}

func TestWorkerPollsImmediatelyWhenASlotIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := &roomySlots{slots: newSlots(1), hasRoom: always}
		release, err := polls.slots.takeForImport(t.Context())
		require.NoError(t, err)
		started := time.Now()
		polled := make(chan struct{})
		go func() {
			defer close(polled)
			_, err := polls.ReserveSlot(t.Context(), nil)
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		release()
		<-polled
		require.Zero(t, time.Since(started))
	})
}

func TestPollThatEndsReleasesItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		room := false
		polls := &roomySlots{slots: newSlots(1), hasRoom: func() bool { return room }}
		require.True(t, polls.reserves(t), "a probe")
		polls.ReleaseSlot(nil)
		require.False(t, polls.reserves(t), "no room")
		room = true
		require.True(t, polls.reserves(t))
	})
}

// An import that needs this worker has taken the slot while the poll was open.
func TestDownloadWithoutASlotIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := &roomySlots{slots: newSlots(1), hasRoom: always}
		require.True(t, polls.reserves(t))
		importDone, err := polls.slots.takeForImport(t.Context())
		require.NoError(t, err)
		started := time.Now()
		_, err = polls.slots.takeReserved(t.Context())
		require.ErrorIs(t, err, errWorkerBusy)
		require.Equal(t, patience, time.Since(started))
		polls.ReleaseSlot(nil)
		require.False(t, polls.reserves(t), "the worker does not poll for another one")

		importDone()
		require.True(t, polls.reserves(t))
		importDone, err = polls.slots.takeForImport(t.Context())
		require.NoError(t, err)
		go func() {
			time.Sleep(patience / 2) // fake clock
			importDone()
		}()
		_, err = polls.slots.takeReserved(t.Context())
		require.NoError(t, err, "the download waits for a short import")
	})
}
