package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// allSearchAttributes registers the search attributes of imports, without setup.
func allSearchAttributes(t *testing.T, namespace temporaltest.Namespace) {
	t.Helper()
	types := map[string]enumspb.IndexedValueType{}
	for _, attribute := range workflows.SearchAttributes() {
		types[attribute.GetName()] = attribute.GetValueType()
	}
	addSearchAttributes(t, namespace, types)
}

func TestStarterIsReadyWhenTheNamespaceAnswers(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("WEBHOOK_TOKENS", oldToken)
	t.Setenv("LISTEN_ADDRESS", "127.0.0.1:0")
	t.Setenv("TEMPORAL_ADDRESS", startGuardedTemporal(t, namespace)) // it has no health service
	s := startStarter(t)
	require.Eventually(t, func() bool { return s.get("/readyz") == answer{http.StatusOK, "ok\n"} }, waitAtMost, pollEvery)
	require.Equal(t, program.ExitOK, s.Stop())

	t.Setenv("TEMPORAL_NAMESPACE", "missing")
	s = startStarter(t)
	require.Equal(t, answer{http.StatusServiceUnavailable, "Temporal cannot be reached\n"}, s.get("/readyz"))
	require.Contains(t, s.Log.String(), "missing")
}

func TestSearchAttributesAreUsedWithoutPermissionToListThem(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("WEBHOOK_TOKENS", oldToken)
	t.Setenv("LISTEN_ADDRESS", "127.0.0.1:0")
	t.Setenv("TEMPORAL_ADDRESS", startGuardedTemporal(t, namespace, "ListSearchAttributes", "AddSearchAttributes"))
	code, _, problems := runStarter("setup")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "tcld namespace search-attributes add --namespace "+namespace.Name)
	_, out, _ := runStarter("doctor")
	require.Contains(t, out, "hint  search attributes not registered as Keyword")
	s := startStarter(t)
	require.Len(t, s.WaitForLog("Search attributes are not registered; to find imports by state or sitemap, run starter setup")["missing"], 5)

	// While it runs.
	allSearchAttributes(t, namespace)
	s.WaitForLog("The namespace's search attributes changed")
	require.Eventually(t, func() bool { return installation(t, namespace).Settings.SearchAttributes }, waitAtMost, pollEvery)
	require.Equal(t, http.StatusAccepted, s.post(oldToken).status)
	described, err := namespace.Client.DescribeWorkflowExecution(t.Context(), "1234", "")
	require.NoError(t, err)
	require.Contains(t, described.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields(), "SitemapName")

	code, out, problems = runStarter("setup")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "search attribute ImportState: already registered\n")
	_, out, _ = runStarter("doctor")
	require.Contains(t, out, "ok    the search attributes are registered")
}

func TestStarterLogsUnknownSearchAttributesOnce(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("WEBHOOK_TOKENS", oldToken)
	t.Setenv("LISTEN_ADDRESS", "127.0.0.1:0")
	setUp(t)
	t.Setenv("TEMPORAL_ADDRESS", startGuardedTemporal(t, namespace, "ListSearchAttributes", "CountWorkflowExecutions"))
	s := startStarter(t)
	const says = "Listing the namespace's search attributes failed; using the schedule's setting"
	require.Equal(t, true, s.WaitForLog(says)["used"])
	require.Equal(t, http.StatusAccepted, s.post(oldToken).status)
	require.NoError(t, namespace.Client.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID).Delete(t.Context()))
	require.Eventually(t, func() bool { // after some refreshes
		there, err := workflows.ReadInstallation(t.Context(), namespace.Client, namespace.Name)
		return err == nil && there != nil && there.Settings.SearchAttributes
	}, waitAtMost, pollEvery)
	require.Equal(t, 1, strings.Count(s.Log.String(), says))
	_, out, _ := runStarter("doctor")
	require.Contains(t, out, "hint  listing the search attributes of namespace "+namespace.Name+": ")
}

// startConnectProxy starts an HTTP CONNECT proxy that forwards every connection to the
// server.
func startConnectProxy(t *testing.T, server string) (address string) {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		behind, err := net.Dial("tcp", server)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer behind.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{client, behind}, {behind, client}} {
			both.Go(func() { _, _ = io.Copy(way[0], way[1]); _ = way[0].Close() })
		}
		both.Wait()
	}))
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

func TestDoctorNamesTheProxyToTemporal(t *testing.T) {
	s := newSystem(t, nil)
	through := s.Env
	doctor := func(env builtprograms.Environment) string {
		_, err := s.Programs.RunStarter(t.Context(), env, "doctor")
		require.Error(t, err, "there is no worker")
		return err.Error()
	}
	proxy := startConnectProxy(t, s.Env.TemporalAddress)
	through.TemporalAddress = "temporal.invalid:7233"
	through = through.With("HTTPS_PROXY", "http://someone:"+password+"@"+proxy)
	out := doctor(through)
	require.Contains(t, out, "ok    Temporal at temporal.invalid:7233, through the proxy "+proxy+" of HTTPS_PROXY answers\n")
	require.NotContains(t, out, password)
	out = doctor(through.With("HTTPS_PROXY", "http://127.0.0.1:1"))
	require.Contains(t, out, "fix   Temporal at temporal.invalid:7233, through the proxy 127.0.0.1:1 of HTTPS_PROXY, and everything that depends on it: ")
	out = doctor(s.Env.With("HTTPS_PROXY", "http://127.0.0.1:1"))
	require.Contains(t, out, "ok    Temporal at "+s.Env.TemporalAddress+" answers\n", "no proxy for this machine")
}
