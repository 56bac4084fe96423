package childprocess

import (
	"errors"
	"fmt"
	"net"
)

// FreePort returns a TCP port of 127.0.0.1 that a child may listen on. For a minute, Linux
// does not assign it to anyone else who asks for a free port: a connection closed by its
// listening side leaves the port in TIME_WAIT, which only affects the choice of free ports,
// not a server that asks for this one.
func FreePort() (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer func() { err = errors.Join(err, listener.Close()) }()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	accepted, err := listener.Accept()
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, accepted.Close()
}
