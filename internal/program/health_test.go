package program_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// Generous limits, for the slowest machine.
const (
	waitAtMost = time.Minute
	pollEvery  = 5 * time.Millisecond
)

func TestHealthOfThisMachineIsChecked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "127.0.0.1:" + port, "localhost:" + port} {
		require.NoError(t, program.CheckHealth(t.Context(), address, "/readyz"), address)
	}
	require.ErrorContains(t, program.CheckHealth(t.Context(), ":"+port, "/other"), "/other answers 503")
	require.ErrorContains(t, program.CheckHealth(t.Context(), "", "/readyz"), `the address to check is ""`)
	server.Close()
	require.ErrorContains(t, program.CheckHealth(t.Context(), ":"+port, "/readyz"), "connection refused")
}

func TestServeFinishesRequestsInProgress(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reading := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(reading)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		_, _ = w.Write(body)
	})
	listening := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- program.Serve(ctx, slog.Default(), "LISTEN_ADDRESS", "127.0.0.1:0", handler, func(address net.Addr) { listening <- address })
	}()
	address := (<-listening).String()

	body, rest := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		response, err := http.Post("http://"+address, "text/plain", body)
		if err != nil {
			t.Errorf("asking: %v", err)
			answered <- ""
			return
		}
		defer response.Body.Close()
		content, _ := io.ReadAll(response.Body)
		answered <- string(content)
	}()
	<-reading
	stop()
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, waitAtMost, pollEvery, "no new connection is accepted")
	select {
	case err := <-ended:
		t.Fatalf("ended before the request: %v", err)
	default:
	}
	_, err := io.Copy(rest, strings.NewReader("late"))
	require.NoError(t, err)
	require.NoError(t, rest.Close())
	require.Equal(t, "late", <-answered)
	require.NoError(t, <-ended)
}

func TestServeFailsIfTheAddressIsInUse(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	address := listener.Addr().String()
	err = program.Serve(t.Context(), slog.Default(), "LISTEN_ADDRESS", address, http.NotFoundHandler(), func(net.Addr) { t.Error("ready was called") })
	require.ErrorContains(t, err, "listening at LISTEN_ADDRESS: listen tcp "+address)
}
