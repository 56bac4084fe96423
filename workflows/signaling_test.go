package workflows_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// signals is a Temporal client that records signals and refuses some.
type signals struct {
	client.Client
	sent      []string
	described []string
	refuses   func(workflowID string) error
	takes     time.Duration
	open      map[string]string // problems by workflow ID
	account   map[string]string // named accounts by workflow ID
	listFails error
	started   map[string]workflows.ImportScrapingJobInput
	memos     map[string]map[string]any
	options   client.StartWorkflowOptions // of the last start
}

// encrypted is an account that only a host's codec can read.
const encrypted = "encrypted"

type signalled struct {
	client.WorkflowRun
	id string
}

func (s signalled) GetID() string    { return s.id }
func (s signalled) GetRunID() string { return "01a22700-733b-7b12-9dd7-b2451d188c30" } // of 2026

func (s *signals) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.described = append(s.described, id)
	name := workflows.ImportScrapingJobName
	if id == "5" {
		name = "OrderWorkflow"
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Type: &commonpb.WorkflowType{Name: name},
	}}, nil
}

func (s *signals) SignalWithStartWorkflow(ctx context.Context, id, _ string, _ any, options client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if s.started == nil {
		s.started, s.memos = map[string]workflows.ImportScrapingJobInput{}, map[string]map[string]any{}
	}
	s.options = options
	s.started[id], s.memos[id] = args[0].(workflows.ImportScrapingJobInput), options.Memo
	return signalled{id: id}, s.SignalWorkflow(ctx, id, "", "", nil)
}

func (s *signals) SignalWorkflow(ctx context.Context, id, _, _ string, _ any) error {
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.refuses != nil {
		if err := s.refuses(id); err != nil {
			return err
		}
	}
	s.sent = append(s.sent, id)
	return nil
}

// ListWorkflow returns all on one page.
func (s *signals) ListWorkflow(_ context.Context, _ *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if s.listFails != nil {
		return nil, s.listFails
	}
	var page workflowservice.ListWorkflowExecutionsResponse
	for id, problem := range s.open {
		kind, err := converter.GetDefaultDataConverter().ToPayload(problem)
		if err != nil {
			return nil, err
		}
		fields := map[string]*commonpb.Payload{workflows.AttentionMemo: kind}
		if account := s.account[id]; account != "" {
			if fields[workflows.AccountMemo], err = converter.GetDefaultDataConverter().ToPayload(account); err != nil {
				return nil, err
			}
			if account == encrypted {
				fields[workflows.AccountMemo].Metadata = map[string][]byte{"encoding": []byte("binary/encrypted")}
			}
		}
		page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "of-" + id},
			Memo:      &commonpb.Memo{Fields: fields},
		})
	}
	return &page, nil
}

// failing fails that many times for a workflow.
func failing(workflowID string, times int, err error) func(string) error {
	return func(id string) error {
		if id != workflowID || times == 0 {
			return nil
		}
		times--
		return err
	}
}

func startInput(jobs int64) (in workflows.StartImportsInput) {
	for id := range jobs {
		in.Jobs = append(in.Jobs, sink.ScrapingJob{ScrapingJobID: id + 1})
	}
	return in
}

// attempt runs one attempt at StartImports, with the heartbeat of the earlier one.
func (s *signals) attempt(in workflows.StartImportsInput, earlier *workflows.Signaling) (result workflows.StartImportsResult, heartbeat workflows.Signaling, err error) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	startImports := func(ctx context.Context, in workflows.StartImportsInput) (workflows.StartImportsResult, error) {
		return workflows.StartEach(ctx, s, in)
	}
	env.RegisterActivity(startImports)
	if earlier != nil {
		env.SetHeartbeatDetails(*earlier)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) { _ = details.Get(&heartbeat) })
	encoded, err := env.ExecuteActivity(startImports, in)
	if err == nil {
		err = encoded.Get(&result)
	}
	return result, heartbeat, err
}

func TestRefusedJobDoesNotBlockOthers(t *testing.T) {
	in := startInput(9)
	for name, c := range map[string]struct {
		refusal error
		retried bool
	}{
		"too many signals":     {serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events"), false},
		"Temporal unavailable": {serviceerror.NewUnavailable("shard"), true},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &signals{refuses: func(id string) error {
				if id == "3" {
					return c.refusal
				}
				return nil
			}}
			result, heartbeat, err := temporal.attempt(in, nil)
			require.Equal(t, []string{"1", "2", "4", "5", "6", "7", "8", "9"}, temporal.sent)
			if c.retried {
				require.ErrorContains(t, err, "shard")
				require.Equal(t, []int64{3}, heartbeat.Failed)
				return
			}
			require.NoError(t, err)
			require.Len(t, result.Refused, 2)
			require.Contains(t, result.Refused[0], "workflow 3: exceeded workflow execution limit")
			require.Contains(t, result.Refused[1], "workflow 5 is a OrderWorkflow: another workflow uses")
		})
	}
}

func TestTemporarilyFailingJobIsStartedAfterTheOthers(t *testing.T) {
	a := newAccount(due(1, 2, 3, 4), due(6))
	a.temporal = &signals{refuses: failing("2", 2, serviceerror.NewUnavailable("shard"))}
	require.Zero(t, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).Refused)
	require.Equal(t, []string{"1", "3", "4", "2", "6"}, a.temporal.sent, "each once")
}

func TestPermanentlyFailingJobBlocksNoPage(t *testing.T) {
	a := newAccount(due(1, 2, 3, 4, 5), due(6))
	a.temporal = &signals{refuses: failing("2", 1000, serviceerror.NewUnavailable("shard"))}
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, 2, result.Refused)
	require.Contains(t, result.WhyRefused[0], "workflow 5 is a OrderWorkflow")
	require.Contains(t, result.WhyRefused[1], "workflow 2: shard")
	require.Equal(t, []string{"1", "3", "4", "5", "6"}, a.temporal.sent, "each once")
}

func TestSlowTemporalHasAllTheTimeItNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []int64
		for id := range int64(100) {
			ids = append(ids, 10+id)
		}
		a := newAccount(due(ids...))
		a.SetTestTimeout(24 * time.Hour)
		a.temporal = &signals{takes: 15 * time.Second}
		require.Zero(t, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).Refused)
		require.Len(t, a.temporal.sent, 100, "each once")
	})
}

func TestUnansweredSignalDelaysTheOthersBySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		temporal := &signals{takes: time.Hour}
		started := time.Now()
		// Not four: they would end at the very second at which the SDK's throttle interval of
		// 30 s does, and it may then send the last heartbeat after the attempt's end.
		_, heartbeat, err := temporal.attempt(startInput(5), nil)
		require.ErrorContains(t, err, "5 signals failed and will be retried; the first: signaling")
		require.Equal(t, 100*time.Second, time.Since(started))
		require.Equal(t, []int64{1, 2, 3, 4, 5}, heartbeat.Failed)
	})
}

func TestRetryResumesFromTheHeartbeat(t *testing.T) {
	temporal := &signals{}
	result, _, err := temporal.attempt(startInput(9), &workflows.Signaling{Through: 6, Sent: 4, Failed: []int64{2}, Refused: []string{"5 is another"}})
	require.NoError(t, err)
	require.Equal(t, []string{"7", "8", "9", "2"}, temporal.sent)
	require.Equal(t, []string{"5 is another"}, result.Refused)
}

func TestStoppingWorkerLeavesTheRestToAnother(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	stop := make(chan struct{})
	env.SetWorkerStopChannel(stop)
	temporal := &signals{refuses: func(id string) error {
		if id == "2" {
			close(stop)
		}
		return nil
	}}
	startImports := func(ctx context.Context) (workflows.StartImportsResult, error) {
		return workflows.StartEach(ctx, temporal, startInput(4))
	}
	env.RegisterActivity(startImports)
	_, err := env.ExecuteActivity(startImports)
	require.ErrorContains(t, err, "the worker is stopping; another one continues")
	require.Equal(t, []string{"1", "2"}, temporal.sent)
}

func TestImportsThatNeedAttentionAreEachSignaledOnce(t *testing.T) {
	a := newAccount(nil)
	twice := failing("8", 2, serviceerror.NewUnavailable("shard"))
	a.temporal = &signals{
		open: map[string]string{
			"7": activities.ErrorOther, "8": activities.ErrorOther, "9": activities.ErrorOther, "11": activities.ErrorOther, "12": activities.ErrorOther,
			"10": activities.ErrorMappedTable, // not retryable
		},
		refuses: func(id string) error {
			switch id {
			case "9":
				return serviceerror.NewNotFound("ended")
			case "11":
				return serviceerror.NewInvalidArgument("too many signals")
			}
			return twice(id)
		},
	}
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, 3, result.TriedAgain)
	require.Equal(t, []string{`signaling "reconciliation" to workflow 11: too many signals`}, result.WhyRefused)
	require.Equal(t, []string{"7", "12", "8"}, a.temporal.sent)
}

func TestFailingRetriesOfImportsDoNotHideTheCheckedJobs(t *testing.T) {
	unavailable := serviceerror.NewUnavailable("shard")
	for name, c := range map[string]struct {
		temporal *signals
		retried  int
		why      string
	}{
		"one signal": {&signals{
			open: map[string]string{"7": activities.ErrorOther, "8": activities.ErrorOther}, refuses: failing("8", 1000, unavailable),
		}, 1, `signaling "reconciliation" to workflow 8: shard`},
		"the list": {&signals{listFails: unavailable}, 0, `listing the open imports: shard`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(due(1))
			a.temporal = c.temporal
			result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
			require.Equal(t, 1, result.Due)
			require.Equal(t, c.retried, result.TriedAgain)
			require.Equal(t, []string{c.why}, result.WhyRefused)
			require.Empty(t, a.failed, "failed lists")
		})
	}
}
