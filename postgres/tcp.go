package postgres

import (
	"cmp"
	"net"
	"syscall"
	"time"
)

// tcpOptions detect a connection whose other side no longer responds.
type tcpOptions struct {
	keepAlive   net.KeepAliveConfig
	userTimeout time.Duration
}

var defaultTCPOptions = tcpOptions{
	keepAlive:   net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	userTimeout: 30 * time.Second,
}

func (o tcpOptions) dialer() *net.Dialer {
	dialer := &net.Dialer{KeepAliveConfig: o.keepAlive}
	if !o.keepAlive.Enable {
		dialer.KeepAlive = -1 // disables the default keepalives
	}
	dialer.Control = func(network, _ string, conn syscall.RawConn) (err error) {
		if network == "unix" || o.userTimeout == 0 {
			return nil
		}
		controlErr := conn.Control(func(socket uintptr) { err = setUserTimeout(socket, o.userTimeout) })
		return cmp.Or(controlErr, err)
	}
	return dialer
}
