package statuspage

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// size writes bytes in decimal units: 12.3 MB.
func size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	units := []string{"kB", "MB", "GB", "TB", "PB", "EB"}
	value := float64(bytes) / 1000
	unit := 0
	for ; value >= 999.95 && unit < len(units)-1; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// took writes a duration with one or two units: 450 ms, 12 s, 3 min 5 s, 2 h 4 min.
func took(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Second)
	for _, pair := range []struct {
		unit, less         time.Duration
		unitName, lessName string
	}{
		{24 * time.Hour, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "min"}, {time.Minute, time.Second, "min", "s"},
	} {
		if d < pair.unit {
			continue
		}
		text := fmt.Sprintf("%d %s", d/pair.unit, pair.unitName)
		if rest := d % pair.unit / pair.less; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, pair.lessName)
		}
		return text
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// about writes an estimated duration no more precisely than it is known.
func about(d time.Duration) string {
	if d > 2*time.Minute {
		return took(d.Round(time.Minute))
	}
	return took(max(d.Round(time.Second), time.Second))
}

// relative writes a time as seen from now: in 3 h, 5 min ago.
func relative(t, now time.Time) string {
	passed := now.Sub(t)
	distance := passed.Abs()
	text := ""
	switch {
	case distance < time.Second:
		return "now"
	case distance < time.Minute:
		text = fmt.Sprintf("%d s", distance/time.Second)
	case distance < time.Hour:
		text = fmt.Sprintf("%d min", int(math.Round(distance.Minutes())))
	case distance < 48*time.Hour:
		text = fmt.Sprintf("%d h", int(math.Round(distance.Hours())))
	default:
		text = fmt.Sprintf("%d days", int(math.Round(distance.Hours()/24)))
	}
	if passed < 0 {
		return "in " + text
	}
	return text + " ago"
}

// printable makes a short line of any bytes: what has no sign of its own, or
// would turn the text around, becomes a dot.
func printable(raw []byte) string {
	text := string(raw)
	for cut := 0; cut < utf8.UTFMax && text != "" && !utf8.ValidString(text); cut++ {
		last, length := utf8.DecodeLastRuneInString(text)
		if last != utf8.RuneError {
			break
		}
		text = text[:len(text)-length] // a character cut in the middle
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, strings.ToValidUTF8(text, "�"))
}
