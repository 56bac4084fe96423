// Package temporaltest gives tests a real Temporal server.
package temporaltest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/scrapehaul/scrapehaul/internal/lostquery"
	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
)

// Namespace is a Temporal namespace of one test, so that parallel tests can all import
// scraping job 1.
type Namespace struct {
	HostPort string // of the server, for TEMPORAL_ADDRESS
	Name     string // for TEMPORAL_NAMESPACE
	Client   client.Client
}

// NewNamespace creates a namespace on a server that all tests of this process share. The
// first call starts the server; it ends with this process. The client is closed at the end
// of the test.
func NewNamespace(t testing.TB) Namespace {
	t.Helper()
	fulltier.Needs(t, "a Temporal server")
	server, err := sharedServer()
	require.NoError(t, err)

	name := strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-" + rand.Text()[:8])
	_, err = server.Client().WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace:                        name,
		WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)

	return dial(t, server.HostPort, name)
}

func dial(t testing.TB, hostPort, namespace string) Namespace {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort:          hostPort,
		Namespace:         namespace,
		Logger:            log.NewStructuredLogger(slog.Default()),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{lostquery.Retry()}},
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return Namespace{HostPort: hostPort, Name: namespace, Client: c}
}

// sharedServer is never stopped: it does not outlive this process.
var sharedServer = sync.OnceValues(func() (*temporalserver.Server, error) {
	return temporalserver.Start(context.Background(), temporalserver.Options{
		Progress: func(step string) { fmt.Fprintln(os.Stderr, step) },
	})
})
