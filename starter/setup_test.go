package main

import (
	"context"
	"net"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const registeredNow = `search attribute ScrapingJobStatus: registered
search attribute SitemapName: registered
search attribute CustomId: registered
search attribute ImportState: registered
search attribute WebScraperAccount: registered
`

// newNamespace points this process's commands at a new namespace.
func newNamespace(t *testing.T) temporaltest.Namespace {
	t.Helper()
	namespace := temporaltest.NewNamespace(t)
	programtest.SetEnvironment(t, map[string]string{"TEMPORAL_ADDRESS": namespace.HostPort, "TEMPORAL_NAMESPACE": namespace.Name})
	return namespace
}

func addSearchAttributes(t *testing.T, namespace temporaltest.Namespace, types map[string]enumspb.IndexedValueType) {
	t.Helper()
	_, err := namespace.Client.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace.Name, SearchAttributes: types,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		there, err := workflows.RegisteredSearchAttributes(t.Context(), namespace.Client, namespace.Name)
		return err == nil && len(there) >= len(types)
	}, waitAtMost, pollEvery)
}

func TestSecondSetupChangesNothing(t *testing.T) {
	namespace := newNamespace(t)
	code, out, problems := runStarter("setup")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, registeredNow+"schedule scrapehaul-reconcile: created, every 15m0s\n", out)
	require.Eventually(t, func() bool {
		missing, err := workflows.MissingSearchAttributes(t.Context(), namespace.Client, namespace.Name)
		return err == nil && len(missing) == 0
	}, waitAtMost, pollEvery)
	schedule := namespace.Client.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{}))

	code, out, problems = runStarter("setup", "--reconcile-every", "1h")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "search attribute ImportState: already registered\n")
	require.Contains(t, out, "schedule scrapehaul-reconcile: updated, every 1h0m0s\nRECONCILE_EVERY: 15m → 1h\n")
	there, err := schedule.Describe(t.Context())
	require.NoError(t, err)
	require.True(t, there.Schedule.State.Paused, "as an operator left it")

	code, out, problems = runStarter("setup")
	require.Equal(t, program.ExitOK, code, problems)
	require.True(t, strings.HasSuffix(out, "schedule scrapehaul-reconcile: unchanged, every 1h0m0s\n"), out)
}

func TestScheduleWithoutReconciliationIsPaused(t *testing.T) {
	namespace := newNamespace(t)
	schedule := namespace.Client.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	setup := func(every, says string) (state client.ScheduleState) {
		code, out, problems := runStarter("setup", "--reconcile-every", every)
		require.Equal(t, program.ExitOK, code, problems)
		require.Contains(t, out, "schedule scrapehaul-reconcile: "+says)
		there, err := schedule.Describe(t.Context())
		require.NoError(t, err)
		require.Equal(t, every == "0", len(there.Info.NextActionTimes) == 0)
		return *there.Schedule.State
	}
	never := client.ScheduleState{Paused: true, Note: "RECONCILE_EVERY is 0"}
	require.Equal(t, never, setup("0", "created, paused, as RECONCILE_EVERY is 0\n"))
	require.Equal(t, client.ScheduleState{}, setup("1h", "updated, every 1h0m0s\nRECONCILE_EVERY: 0 → 1h\n"))
	require.Equal(t, never, setup("0", "updated, paused, as RECONCILE_EVERY is 0\n"))
	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{Note: "by a person"}))
	byAPerson := client.ScheduleState{Paused: true, Note: "by a person"}
	require.Equal(t, byAPerson, setup("1h", "updated, every 1h0m0s\n"))
	require.Equal(t, byAPerson, setup("0", "updated, paused"))
}

func TestSetupNamesASearchAttributeOfAnotherType(t *testing.T) {
	namespace := newNamespace(t)
	addSearchAttributes(t, namespace, map[string]enumspb.IndexedValueType{"ImportState": enumspb.INDEXED_VALUE_TYPE_INT})
	code, out, problems := runStarter("setup")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "search attribute ImportState has type Int, but Keyword is needed: ")
	require.Contains(t, problems, "temporal operator search-attribute remove --name ImportState")
	require.Contains(t, out, "search attribute SitemapName: registered\n", "the others are registered")
	require.Contains(t, out, "schedule scrapehaul-reconcile: created")
}

func TestSetupSaysWhatToDoWhenRegisteringIsRefused(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("TEMPORAL_ADDRESS", startGuardedTemporal(t, namespace, "AddSearchAttributes"))
	code, out, problems := runStarter("setup")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "on Temporal Cloud, add them on the namespace's page or with: tcld namespace search-attributes add --namespace "+
		namespace.Name+" --search-attribute ScrapingJobStatus=Keyword --search-attribute SitemapName=Keyword")
	require.NotContains(t, out, "registered")
	require.Contains(t, out, "schedule scrapehaul-reconcile: created", "anyway")

	t.Setenv("TEMPORAL_ADDRESS", namespace.HostPort)
	code, out, problems = runStarter("setup")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, registeredNow+"schedule scrapehaul-reconcile: updated, every 15m0s\nnew imports set the search attributes\n", out)
	_, out, _ = runStarter("setup")
	require.Contains(t, out, "schedule scrapehaul-reconcile: unchanged, every 15m0s\n")
}

// operator is an operator service that forwards to another server's.
type operator struct {
	operatorservice.UnimplementedOperatorServiceServer
	behind operatorservice.OperatorServiceClient
}

func (o operator) ListSearchAttributes(ctx context.Context, in *operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	return o.behind.ListSearchAttributes(ctx, in)
}

// startGuardedTemporal starts a proxy that refuses some calls and has no gRPC health
// service, like Temporal Cloud.
func startGuardedTemporal(t *testing.T, namespace temporaltest.Namespace, refused ...string) (address string) {
	t.Helper()
	service, err := proxy.NewWorkflowServiceProxyServer(proxy.WorkflowServiceProxyOptions{Client: namespace.Client.WorkflowService()})
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if slices.Contains(refused, path.Base(call.FullMethod)) {
				return nil, status.Error(codes.PermissionDenied, "Request unauthorized.")
			}
			answer, err := handle(ctx, request)
			return answer, serviceerror.ToStatus(err).Err()
		}))
	workflowservice.RegisterWorkflowServiceServer(server, service)
	operatorservice.RegisterOperatorServiceServer(server, operator{behind: namespace.Client.OperatorService()})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}
