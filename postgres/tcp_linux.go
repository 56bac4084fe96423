package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

func setUserTimeout(socket uintptr, timeout time.Duration) error {
	return unix.SetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
}
