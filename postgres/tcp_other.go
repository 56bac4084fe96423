//go:build !linux

package postgres

import "time"

// setUserTimeout does nothing: these systems have only keepalives.
func setUserTimeout(uintptr, time.Duration) error { return nil }
