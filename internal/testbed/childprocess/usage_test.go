package childprocess

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestComputingTakesCPUTime(t *testing.T) {
	before, known := CPUSeconds(os.Getpid())
	if !known {
		require.NotEqual(t, "linux", runtime.GOOS)
		return
	}
	require.Eventually(t, func() bool {
		for sum := range 100_000_000 {
			_ = sum * sum
		}
		after, _ := CPUSeconds(os.Getpid())
		return after >= before+1/float64(ticksPerSecond)
	}, time.Minute, time.Millisecond)
}
