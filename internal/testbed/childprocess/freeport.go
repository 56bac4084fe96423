package childprocess

import (
	"errors"
	"fmt"
	"net"
)

// FreePort returns a TCP port of 127.0.0.1 that a child may listen on. Linux
// gives it to nobody else who asks for a free port within the next minute: a
// connection that its listening side closed leaves the port in TIME_WAIT, which
// hinders only the choice of free ports, not a server that asks for this one.
func FreePort() (port int, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { err = errors.Join(err, listener.Close()) }()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	accepted, err := listener.Accept()
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, accepted.Close()
}
