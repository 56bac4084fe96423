package statuspage

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

func size(bytes int64) string { return humanize.Bytes(uint64(bytes)) }

// took formats a duration: 2.5s, 1m13s.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return max(d, 0).Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// relative formats a time relative to now: 5 minutes ago, 3 hours from now.
func relative(t, now time.Time) string { return humanize.RelTime(t, now, "ago", "from now") }

// printable turns bytes into one line: unprintable characters, and those that change the
// text direction, become dots.
func printable(raw []byte) string {
	text := string(raw)
	for cut := 0; cut < utf8.UTFMax && text != "" && !utf8.ValidString(text); cut++ {
		last, length := utf8.DecodeLastRuneInString(text)
		if last != utf8.RuneError {
			break
		}
		text = text[:len(text)-length] // a truncated character
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, strings.ToValidUTF8(text, "�"))
}
