package webscrapertest

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
)

// NewServer starts a Cloud on a local port, sets its URL, and runs it, see [Cloud.Run],
// until the end of the test.
func NewServer(t testing.TB, options Options) *Cloud {
	t.Helper()
	cloud := New(options)
	server := httptest.NewServer(cloud)
	t.Cleanup(func() {
		server.CloseClientConnections() // ends hanging requests
		server.Close()
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { cloud.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	cloud.URL = server.URL + BasePath
	return cloud
}
