package temporalserver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

// Some tests need several processes. With roleVariable set, the test binary is one of those
// instead.
const roleVariable = "TEMPORALSERVER_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "server":
		beServer()
	case "builder":
		beBuilder()
	default:
		os.Exit(m.Run())
	}
}

func startServer(t *testing.T, opts Options) *Server {
	t.Helper()
	fulltier.Needs(t, "a Temporal server")
	opts.Progress = progressToStderr
	server, err := Start(t.Context(), opts)
	require.NoError(t, err)
	return server
}

func progressToStderr(step string) { fmt.Fprintln(os.Stderr, step) }

func TestServerServesItsNamespaceAndUIUntilStopped(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{Namespace: "imports", UI: true})

	require.Equal(t, "imports", server.Namespace)
	_, err := server.Client().ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	require.NoError(t, err)
	response, err := http.Get(server.UIAddress + "/namespaces/imports/workflows")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	require.NoError(t, server.Stop())
	requireNobodyListens(t, server.HostPort)
}

func requireNobodyListens(t *testing.T, hostPort string) {
	t.Helper()
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", hostPort)
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, 20*time.Second, 20*time.Millisecond, "%s still accepts connections", hostPort)
}

func TestRestartedServerKeepsItsState(t *testing.T) {
	t.Parallel()
	opts := Options{DBFilename: filepath.Join(t.TempDir(), "temporal.db")}
	first := startServer(t, opts)
	run, err := first.Client().ExecuteWorkflow(t.Context(),
		client.StartWorkflowOptions{ID: "1234", TaskQueue: "without a worker"}, "ImportScrapingJob")
	require.NoError(t, err)
	require.NoError(t, first.Stop())

	_, port, err := net.SplitHostPort(first.HostPort)
	require.NoError(t, err)
	opts.Port, err = strconv.Atoi(port)
	require.NoError(t, err)
	second := startServer(t, opts)
	require.Equal(t, first.HostPort, second.HostPort)
	description, err := second.Client().DescribeWorkflowExecution(t.Context(), "1234", run.GetRunID())
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, description.GetWorkflowExecutionInfo().GetStatus())
	require.NoError(t, second.Stop())
}

func TestNewSearchAttributeCanBeUsedImmediately(t *testing.T) {
	t.Parallel()
	server := startServer(t, Options{})
	_, err := server.Client().OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace:        server.Namespace,
		SearchAttributes: map[string]enums.IndexedValueType{"SitemapName": enums.INDEXED_VALUE_TYPE_KEYWORD},
	})
	require.NoError(t, err)

	_, err = server.Client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		TaskQueue:             "without a worker",
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeyword("SitemapName").ValueSet("my-sitemap")),
	}, "ImportScrapingJob")
	require.NoError(t, err)
	require.NoError(t, server.Stop())
}

func TestFailedStartReportsItsReason(t *testing.T) {
	fulltier.Needs(t, "a Temporal server")
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()

	_, err = Start(t.Context(), Options{Port: listener.Addr().(*net.TCPAddr).Port, Progress: progressToStderr})
	require.ErrorContains(t, err, "address already in use")
}

func TestServerDiesWithItsKilledProcess(t *testing.T) {
	fulltier.Needs(t, "a Temporal server")
	t.Parallel()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), roleVariable+"=server")
	process.Stderr = os.Stderr
	output, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	var hostPort string
	_, err = fmt.Fscanln(output, &hostPort)
	require.NoError(t, err)
	connection, err := net.Dial("tcp", hostPort)
	require.NoError(t, err)
	require.NoError(t, connection.Close())

	require.NoError(t, process.Process.Kill())
	require.Error(t, process.Wait())
	requireNobodyListens(t, hostPort)
}

func beServer() {
	server, err := Start(context.Background(), Options{Progress: progressToStderr})
	if err != nil {
		panic(err)
	}
	fmt.Println(server.HostPort)
	select {}
}
