//go:build !linux

package postgres

import "time"

// setUserTimeout is for systems that have keepalives only.
func setUserTimeout(uintptr, time.Duration) error { return nil }
