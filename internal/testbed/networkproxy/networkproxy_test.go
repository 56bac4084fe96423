package networkproxy_test

import (
	"bufio"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
)

// echo starts a server that sends everything back.
func echo(t *testing.T) (serverURL string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return "postgres://user@" + listener.Addr().String() + "/name?sslmode=disable"
}

func dial(t *testing.T, serverURL string) (conn net.Conn, ask func() error) {
	at, err := url.Parse(serverURL)
	require.NoError(t, err)
	conn, err = net.Dial("tcp", at.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	lines := bufio.NewReader(conn)
	return conn, func() error {
		if _, err := io.WriteString(conn, "question\n"); err != nil {
			return err
		}
		_, err := lines.ReadString('\n')
		return err
	}
}

func TestRoundTripsAreDelayedAndCounted(t *testing.T) {
	proxy, through := networkproxy.New(t, echo(t))
	_, ask := dial(t, through)
	proxy.SetRoundTrip(20 * time.Millisecond)
	started := time.Now()
	for range 5 {
		require.NoError(t, ask())
	}
	require.GreaterOrEqual(t, time.Since(started), 100*time.Millisecond)
	require.Equal(t, int64(5), proxy.RoundTrips())
}

func TestSilencedConnectionsHangAndNewOnesWork(t *testing.T) {
	proxy, through := networkproxy.New(t, echo(t))
	forgotten, ask := dial(t, through)
	require.NoError(t, ask())
	proxy.Silence()
	require.NoError(t, forgotten.SetDeadline(time.Now().Add(100*time.Millisecond)))
	var timeout net.Error
	require.ErrorAs(t, ask(), &timeout)
	require.True(t, timeout.Timeout())

	_, ask = dial(t, through)
	require.NoError(t, ask())
}

func TestEndedConnectionsAreClosedOnTheOtherSide(t *testing.T) {
	_, through := networkproxy.New(t, echo(t))
	conn, ask := dial(t, through)
	require.NoError(t, ask())
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	_, err := io.ReadAll(conn)
	require.NoError(t, err)
}
