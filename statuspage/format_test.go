package statuspage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNumbersAreFormatted(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 41_600_000: "42 MB"} {
		require.Equal(t, want, size(n))
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 280 * time.Millisecond: "300ms", 2500 * time.Millisecond: "2.5s", 59 * time.Second: "59s",
		73*time.Second + time.Millisecond: "1m13s", 25*time.Hour + time.Minute: "25h1m0s",
	} {
		require.Equal(t, want, took(d))
	}
	now := time.Now()
	for after, want := range map[time.Duration]string{
		0: "now", -5 * time.Second: "5 seconds ago", 5 * time.Minute: "5 minutes from now", -72 * time.Hour: "3 days ago",
	} {
		require.Equal(t, want, relative(now.Add(after), now))
	}
}

func TestBytesBecomeOnePrintableLine(t *testing.T) {
	for raw, want := range map[string]string{
		"plain":               "plain",
		"two\nlines\x00":      "two·lines·",
		"turned \u202eround":  "turned ·round",
		"caf\xc3":             "caf", // a truncated character
		"\xff\xfeinside <b>é": "�inside <b>é",
	} {
		require.Equal(t, want, printable([]byte(raw)))
	}
}
