package systemtest

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/replaytest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// watchEvery is the interval of reading pending activities. Missing some does no harm: the
// same code sends all heartbeats.
const watchEvery = 200 * time.Millisecond

// pendingActivities is what Temporal shows of running activities: heartbeats and last
// failures. Histories do not contain it.
type pendingActivities struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

// PendingActivities returns everything seen of running activities so far, with payloads not
// encoded in base64.
func (s *System) PendingActivities() string {
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	return s.pending.seen.String()
}

// watchPendingActivities reads pending activities until it is stopped.
func (s *System) watchPendingActivities() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				s.readPendingActivities(ctx)
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// readPendingActivities skips what Temporal fails to return.
func (s *System) readPendingActivities(ctx context.Context) {
	const some = 5
	open, err := s.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "ExecutionStatus = 'Running'", PageSize: some,
	})
	if err != nil {
		return
	}
	for _, run := range open.GetExecutions() {
		described, err := s.Temporal.DescribeWorkflowExecution(ctx, run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId())
		if err != nil {
			continue
		}
		for _, activity := range described.GetPendingActivities() {
			plain, err := proto.Marshal(activity)
			if err != nil {
				continue
			}
			s.pending.mu.Lock()
			s.pending.seen.Write(plain)
			s.pending.mu.Unlock()
		}
	}
}

// finish searches everything that was written for secrets, replays the histories, and
// records them with -record.
func (s *System) finish() {
	written := map[string]string{
		"the logs": s.Log.String(), "the pending activities": s.PendingActivities(), "the metrics": strings.Join(s.scraped, ""),
	}
	for _, run := range s.Runs(0) {
		history := s.History(run)
		id := run.GetExecution().GetWorkflowId()
		// In this form, payloads are not encoded in base64.
		plain, err := proto.Marshal(history)
		require.NoError(s.T, err)
		name := run.GetType().GetName()
		if name == workflows.ImportScrapingJobName {
			require.Contains(s.T, string(plain), `"scrapingjob_id":`+id, "the search can read payloads")
		}
		written["the history of workflow "+id] = string(plain)
		if run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			continue
		}
		if slices.Contains([]string{workflows.ImportScrapingJobName, workflows.ReconcileScrapingJobsName, workflows.RemoveLeftoversName, workflows.RunSitemapName, activities.DeliverPublicationsName}, name) {
			require.NoError(s.T, replaytest.Replay(history), "the replay of workflow %s", id)
		}
		if *record != "" {
			name := s.T.Name() + "-" + id + "-" + run.GetExecution().GetRunId()[24:] + ".json" // a run ID starts with the time
			name = strings.NewReplacer("/", "-", ":", "").Replace(name)                        // allowed in Go modules
			require.NoError(s.T, os.WriteFile(filepath.Join(*record, name), []byte(protojson.Format(history)), 0o600))
		}
	}
	secrets := append([]string{APIToken, WebhookToken}, s.Secrets...)
	database, err := url.Parse(s.Env.DatabaseURL)
	require.NoError(s.T, err)
	if password, has := database.User.Password(); has {
		secrets = append(secrets, password)
	}
	for place, text := range written {
		for _, secret := range secrets {
			require.False(s.T, strings.Contains(text, secret), "a secret is in %s", place)
		}
	}
}
