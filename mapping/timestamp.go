package mapping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sinceUnix has the units of layouts that count from 1970.
var sinceUnix = map[string]string{layoutUnix: "seconds", layoutUnixMilli: "milliseconds"}

// allYears is the range of RFC 3339.
var allYears = [2]int{1, 9999}

// usualYears is the default range for dates written for people. It excludes the years of
// other calendars: our 2026 is 2569 in Thailand, 2083 in Nepal and 1405 in Iran.
var usualYears = [2]int{1900, 2079}

// parseTimestamp parses text by the column's layout, in the column's time zone unless the
// text has its own.
func parseTimestamp(text string, of *Column) (time.Time, error) {
	var t time.Time
	switch layout, zone := of.Layout, of.location; layout {
	case layoutUnix, layoutUnixMilli:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return t, fmt.Errorf("is not a whole number of %s since 1970", sinceUnix[layout])
		}
		if t = time.UnixMilli(n).In(zone); layout == layoutUnix {
			t = time.Unix(min(max(n, -1e12), 1e12), 0).In(zone) // out of range anyway
		}
	default:
		format := layout
		if layout == layoutRFC3339 {
			format = time.RFC3339
		}
		var err error
		if t, err = time.ParseInLocation(format, text, zone); err != nil {
			return t, fmt.Errorf("is not a time of the layout %s", layout)
		}
	}
	written := t.Year()
	year := written
	// RFC 3339 has no seconds in an offset (historical local mean time), and PostgreSQL
	// no offset of 16 hours or more.
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -16*60*60 || offset >= 16*60*60 {
		t = t.UTC()
		year = t.Year()
	}
	if written >= of.Years[0] && written <= of.Years[1] && year >= allYears[0] && year <= allYears[1] {
		return t, nil
	}
	if of.Years == allYears {
		return t, fmt.Errorf("is not between the years %d and %d", allYears[0], allYears[1])
	}
	return t, fmt.Errorf("is not between the years %d and %d: other calendars are not converted; for other years, set the column's years", of.Years[0], of.Years[1])
}

// checkLayout returns an error if a layout has no complete date, or reads back another time
// than it writes.
func checkLayout(layout string) error {
	switch layout {
	case layoutRFC3339, layoutUnix, layoutUnixMilli:
		return nil
	}
	if strings.Contains(layout, "MST") {
		return errors.New("has a time zone abbreviation (MST), which is ambiguous: use an offset such as -0700, or time_zone and no abbreviation")
	}
	want := time.Date(2019, time.November, 23, 17, 48, 59, 0, time.UTC)
	text := want.Format(layout)
	got, err := time.ParseInLocation(layout, text, time.UTC)
	switch {
	case err != nil:
		return fmt.Errorf("cannot be read back: it writes %q", text)
	case got.Year() != want.Year():
		return errors.New("has no year")
	case got.Month() != want.Month() || got.Day() != want.Day():
		return errors.New("lacks the month or the day")
	case got.Hour() != want.Hour() && (got.Hour() != 0 || got.Minute() != 0 || got.Second() != 0):
		return errors.New("has an ambiguous hour: use 15, or 03 with PM")
	}
	return nil
}
