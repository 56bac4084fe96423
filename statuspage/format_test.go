package statuspage

import (
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
)

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 12345678901: "12,345,678,901"} {
		require.Equal(t, want, humanize.Comma(n))
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 41_600_000: "41.6 MB", 1 << 62: "4.6 EB"} {
		require.Equal(t, want, size(n))
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 28 * time.Millisecond: "28 ms", 2500 * time.Millisecond: "2.5 s", 59 * time.Second: "59 s",
		73 * time.Second: "1 min 13 s", 2 * time.Hour: "2 h", 25*time.Hour + time.Minute: "1 d 1 h",
	} {
		require.Equal(t, want, took(d))
	}
	require.Equal(t, "12 min", about(12*time.Minute+11*time.Second))
	now := time.Now()
	for after, want := range map[time.Duration]string{
		0: "now", -5 * time.Second: "5 s ago", 5 * time.Minute: "in 5 min", -26 * time.Hour: "26 h ago", 72 * time.Hour: "in 3 days",
	} {
		require.Equal(t, want, relative(now.Add(after), now))
	}
}

func TestAnyBytesBecomeOneLine(t *testing.T) {
	for raw, want := range map[string]string{
		"plain":               "plain",
		"two\nlines\x00":      "two·lines·",
		"turned \u202eround":  "turned ·round",
		"caf\xc3":             "caf", // cut in the middle of a character
		"\xff\xfeinside <b>é": "�inside <b>é",
	} {
		require.Equal(t, want, printable([]byte(raw)))
	}
}
