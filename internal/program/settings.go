package program

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// SettingsError names every setting that is missing or invalid.
type SettingsError struct {
	Problems []string
}

func (e *SettingsError) Error() string {
	return "fix this first:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// Settings collects problems, to report all of them together. Settings are text for the
// same reason.
type Settings struct {
	problems []string
}

// Problem adds a problem.
func (s *Settings) Problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// Check adds each line of the error, if any, as a problem.
func (s *Settings) Check(err error) {
	if err != nil {
		s.problems = append(s.problems, strings.Split(err.Error(), "\n")...)
	}
}

// Err returns a *SettingsError, or nil if there are no problems.
func (s *Settings) Err() error {
	if len(s.problems) == 0 {
		return nil
	}
	return &SettingsError{Problems: s.problems}
}

// Required adds a problem if the setting is empty.
func (s *Settings) Required(name, value, purpose string) {
	if strings.TrimSpace(value) == "" {
		s.Problem("%s is missing: %s", name, purpose)
	}
}

// Duration parses a duration of at least shortest.
func (s *Settings) Duration(name, value string, shortest time.Duration) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d < shortest {
		s.Problem("%s is %q: want a duration of at least %s, like 30s, 10m or 24h", name, value, shortest)
	}
	return d
}

// ShortDuration formats a duration without zero units: 24h, not 24h0m0s.
func ShortDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-len("0s")]
		}
	}
	return text
}

// Int parses a number within limits.
func (s *Settings) Int(name, value string, lowest, highest int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < lowest || n > highest {
		s.Problem("%s is %q: want a number from %d to %d", name, value, lowest, highest)
	}
	return n
}

// Bool parses true or false, yes or no, on or off, 1 or 0, in upper or lower case.
func (s *Settings) Bool(name, value string) bool {
	switch strings.ToLower(value) {
	case "true", "t", "yes", "y", "on", "1":
		return true
	case "false", "f", "no", "n", "off", "0":
	default:
		s.Problem("%s is %q: want true or false", name, value)
	}
	return false
}

// Address validates a host:port to listen on.
func (s *Settings) Address(name, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		s.Problem("%s is %q: want host:port or :port", name, value)
	}
}
