package program

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// SettingsError names every setting that is missing or wrong.
type SettingsError struct {
	Problems []string
}

func (e *SettingsError) Error() string {
	return "these settings have to be put right first:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// Settings collects what is wrong, so that a person learns all of it at once.
// Settings arrive as text for the same reason.
type Settings struct {
	problems []string
}

// Problem notes that something is wrong.
func (s *Settings) Problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// Check notes what a check has found, if it has: each line of the error.
func (s *Settings) Check(err error) {
	if err != nil {
		s.problems = append(s.problems, strings.Split(err.Error(), "\n")...)
	}
}

// Err returns a *SettingsError, or nil when all is well.
func (s *Settings) Err() error {
	if len(s.problems) == 0 {
		return nil
	}
	return &SettingsError{Problems: s.problems}
}

// Required notes a setting that is empty.
func (s *Settings) Required(name, value, purpose string) {
	if strings.TrimSpace(value) == "" {
		s.Problem("%s is missing: %s", name, purpose)
	}
}

// Duration reads a duration of at least least.
func (s *Settings) Duration(name, value string, least time.Duration) time.Duration {
	d, err := time.ParseDuration(value)
	if err != nil || d < least {
		s.Problem("%s is %q: want a duration of at least %s, like 30s, 10m or 24h", name, value, least)
	}
	return d
}

// ShortDuration is the text of a duration as people write it: 24h, not 24h0m0s.
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

// Int reads a number within limits.
func (s *Settings) Int(name, value string, least, most int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		s.Problem("%s is %q: want a number from %d to %d", name, value, least, most)
	}
	return n
}

// Bool reads true or false, also as yes and no, on and off, 1 and 0, in either case.
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

// Address checks a host:port to listen on.
func (s *Settings) Address(name, value string) {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		s.Problem("%s is %q: want host:port or :port", name, value)
	}
}
