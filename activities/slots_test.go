package activities

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestImportsGoBeforeDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newSlots(1)
		releaseFirst, err := slots.takeForDownload(t.Context())
		require.NoError(t, err)

		var order []string
		wait := func(name string, take func(context.Context) (func(), error)) {
			go func() {
				release, err := take(t.Context())
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				order = append(order, name)
				release()
			}()
			synctest.Wait()
		}
		wait("download", slots.takeForDownload)
		wait("first import", slots.takeForImport)
		wait("second import", slots.takeForImport)
		require.Empty(t, order, "the only slot is taken")
		releaseFirst()
		synctest.Wait()
		require.Equal(t, []string{"first import", "second import", "download"}, order)
	})
}

func TestCanceledWaitTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := newSlots(1)
		release, err := slots.takeForImport(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error)
		go func() {
			_, err := slots.takeForDownload(ctx)
			failed <- err
		}()
		synctest.Wait()
		cancel(errWorkerStopping)
		require.ErrorIs(t, <-failed, errWorkerStopping)
		release()
		_, err = slots.takeForImport(t.Context())
		require.NoError(t, err, "the slot is free again")
	})
}
