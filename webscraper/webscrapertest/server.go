package webscrapertest

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
)

// Server is a Cloud on a local port.
type Server struct {
	*Cloud
	// URL is the base URI for clients, BasePath with its final slash included:
	// "http://127.0.0.1:12345/api/v1/".
	URL string
}

// NewServer starts a Cloud on a local port and runs it, see [Cloud.Run], until
// the end of the test.
func NewServer(t testing.TB, options Options) *Server {
	t.Helper()
	cloud := New(options)
	server := httptest.NewServer(cloud)
	t.Cleanup(func() {
		server.CloseClientConnections() // ends requests that hang
		server.Close()
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { cloud.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return &Server{Cloud: cloud, URL: server.URL + BasePath}
}
