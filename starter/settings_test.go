package main

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// inShell runs a command with these settings, NAME=value, on top of the test's environment.
func inShell(t *testing.T, settings []string, args ...string) (code int, out, problems string) {
	t.Run(strings.Join(append(settings, args...), " "), func(t *testing.T) {
		for _, setting := range settings {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
		}
		code, out, problems = runStarter(args...)
	})
	return code, out, problems
}

func setUp(t *testing.T, settings ...string) (out string) {
	t.Helper()
	code, out, problems := inShell(t, settings, "setup")
	require.Equal(t, program.ExitOK, code, problems)
	return out
}

func installation(t *testing.T, namespace temporaltest.Namespace) workflows.Installation {
	t.Helper()
	there, err := workflows.ReadInstallation(t.Context(), namespace.Client, namespace.Name)
	require.NoError(t, err)
	require.NotNil(t, there)
	return *there
}

// reconciledWith starts a manual reconciliation, reads its settings and terminates it.
func reconciledWith(t *testing.T, namespace temporaltest.Namespace, args ...string) (in workflows.ReconcileScrapingJobsInput, problems string) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _, problems = runStarter(append([]string{"reconcile"}, args...)...)
	}()
	const id = workflows.ReconcileScheduleID + "-by-hand"
	require.Eventually(t, func() bool {
		return namespace.Client.TerminateWorkflow(t.Context(), id, "", "seen enough") == nil
	}, waitAtMost, pollEvery)
	<-ended
	events := namespace.Client.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	started, err := events.Next()
	require.NoError(t, err)
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(started.GetWorkflowExecutionStartedEventAttributes().GetInput(), &in))
	return in, problems
}

// eventuallyListed waits for Temporal's list, which lags.
func eventuallyListed(t *testing.T) (out string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, out, _ = runStarter("list")
		return strings.Count(out, "\n") > 2
	}, waitAtMost, pollEvery)
	return out
}

func TestCommandsInAnotherShellUseTheStoredSettings(t *testing.T) {
	namespace := newNamespace(t)
	out := setUp(t, "HOLD_BEFORE_DELETE=never", "FILTER_SITEMAP_PREFIX=shop-", "TASK_QUEUE=prices")
	require.Contains(t, out, "schedule scrapehaul-reconcile: created, every 15m0s, with TASK_QUEUE=prices, HOLD_BEFORE_DELETE=never, FILTER_SITEMAP_PREFIX=shop-\n")
	require.NotContains(t, out, "→")

	require.Contains(t, setUp(t), "schedule scrapehaul-reconcile: unchanged, every 15m0s\n")
	there := installation(t, namespace)
	require.Equal(t, "never", there.Settings.HoldBeforeDelete)
	require.Equal(t, "shop-", there.Settings.Filter.SitemapNamePrefix)
	require.Equal(t, "prices", there.TaskQueue)

	for id, command := range map[string]string{"1": "import", "2": "reimport"} {
		code, _, problems := runStarter(command, id)
		require.Equal(t, program.ExitOK, code, problems)
		require.Empty(t, problems)
		input, _, queue := startedWith(t, namespace, id)
		require.Equal(t, "never", input.Settings.HoldBeforeDelete, command)
		require.Equal(t, command == "reimport", input.Settings.Filter.SitemapNamePrefix == "shop-", "an explicit import ignores the filter")
		require.Equal(t, "prices", queue)
	}
	require.Contains(t, eventuallyListed(t), "\n1 ", "on this task queue")
	in, _ := reconciledWith(t, namespace)
	require.Equal(t, "never", in.Settings.HoldBeforeDelete)
	require.Equal(t, "shop-", in.Settings.Filter.SitemapNamePrefix)
}

func TestCommandSettingsApplyToItsImportsOnly(t *testing.T) {
	namespace := newNamespace(t)
	setUp(t, "HOLD_BEFORE_DELETE=never")
	code, _, problems := inShell(t, []string{"BATCH_RECORDS=77"}, "reimport", "--hold-before-delete", "60m", "1")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "for this command only: HOLD_BEFORE_DELETE is 1h, not never as in the schedule scrapehaul-reconcile\n"+
		"for this command only: BATCH_RECORDS is 77, not 5000 as in the schedule scrapehaul-reconcile\n", problems)
	for _, command := range []string{"import", "reimport"} {
		code, out, problems := runStarter(command, "--hold-before-delete", "2h", "1", "3")
		require.Equal(t, program.ExitFailed, code)
		require.Contains(t, problems, "scraping job 1: nothing was sent, as its import is open and keeps the HOLD_BEFORE_DELETE that it started with: ")
		require.Equal(t, command == "import", strings.Contains(problems, "for this command only"), "only if something is sent")
		require.Equal(t, command == "import", strings.Contains(out, "scraping job 3: "), "it has an open import from then on")
	}
	input, _, _ := startedWith(t, namespace, "1")
	require.Equal(t, "1h", input.Settings.HoldBeforeDelete)
	require.Equal(t, 77, input.Settings.BatchRecords)
	in, problems := reconciledWith(t, namespace, "--filter-tag", "prices")
	require.Contains(t, problems, `for this command only: FILTER_TAG is prices, not "" as in the schedule`)
	require.Equal(t, "prices", in.Settings.Filter.Tag)
	require.Equal(t, "never", in.Settings.HoldBeforeDelete)
	require.Equal(t, "never", installation(t, namespace).Settings.HoldBeforeDelete)
}

func TestEverySettingCanBeSetAndReset(t *testing.T) {
	namespace := newNamespace(t)
	changed := []string{
		"TASK_QUEUE=prices", "RECONCILE_EVERY=1h", "HOLD_BEFORE_DELETE=0", "FILTER_SITEMAP_PREFIX=shop-;globex=", "FILTER_TAG=prices; acme=books", "FILTER_STATUSES=finished, failed;acme=;globex=finished",
		"SOURCE_FORMAT=csv", "SOURCE_RAW=true", "BATCH_RECORDS=1", "MAX_RECORD_BYTES=2", "MAX_REJECTED=3", "MIN_RECORDS_PERCENT=4", "REQUIRE_DATA_QUALITY=true",
		"ATTENTION_TIMEOUT=90m", "WORKER_GONE_AFTER=1m30s", "HEARTBEAT_TIMEOUT=2s",
	}
	setUp(t, changed...)
	there := installation(t, namespace)
	require.Equal(t, workflows.Installation{
		TaskQueue: "prices", Every: time.Hour,
		Settings: workflows.Settings{
			HoldBeforeDelete: "0", SourceFormat: "csv", SourceRaw: true, BatchRecords: 1, MaxRecordBytes: 2, MaxRejected: 3, MinRecordsPercent: 4,
			RequireDataQuality: true,
			AttentionTimeout:   "1h30m", WorkerGoneAfter: "1m30s", HeartbeatTimeout: "2s", SearchAttributes: there.Settings.SearchAttributes,
			AccountAttribute: there.Settings.AccountAttribute,
			Filter: activities.Filter{SitemapNamePrefix: "shop-", Tag: "prices", Statuses: []string{"finished", "failed"}, Accounts: map[string]activities.AccountFilter{
				"acme": {Tag: new("books"), Statuses: &[]string{}}, "globex": {SitemapNamePrefix: new(""), Statuses: &[]string{"finished"}},
			}},
		},
	}, there)
	require.Len(t, importSettings, len(changed))

	back := map[string]string{
		"RECONCILE_EVERY": "15m", "FILTER_SITEMAP_PREFIX": "", "FILTER_TAG": "", "FILTER_STATUSES": "", "SOURCE_FORMAT": "json", "SOURCE_RAW": "false",
		"HOLD_BEFORE_DELETE": "24h", "BATCH_RECORDS": "5000", "MAX_RECORD_BYTES": "16777216", "MAX_REJECTED": "0", "MIN_RECORDS_PERCENT": "0",
		"REQUIRE_DATA_QUALITY": "false",
		"ATTENTION_TIMEOUT":    "168h", "WORKER_GONE_AFTER": "5m", "HEARTBEAT_TIMEOUT": "30s",
	}
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(back)) {
		settings = append(settings, name+"="+back[name])
	}
	out := setUp(t, settings...)
	require.Equal(t, len(back), strings.Count(out, " → "), out)
	require.Contains(t, out, "HOLD_BEFORE_DELETE: 0 → 24h\n")
	require.Contains(t, out, "FILTER_STATUSES: finished,failed;acme=;globex=finished → \"\"\n")
	want := workflows.DefaultInstallation()
	want.TaskQueue = "prices"
	want.Settings.SearchAttributes, want.Settings.AccountAttribute = there.Settings.SearchAttributes, there.Settings.AccountAttribute
	require.Equal(t, want, installation(t, namespace))
}

func TestRunningStarterUsesTheStoredSettings(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("WEBHOOK_TOKENS", oldToken)
	t.Setenv("LISTEN_ADDRESS", "127.0.0.1:0")
	setUp(t, "HOLD_BEFORE_DELETE=never", "FILTER_STATUSES=stopped")
	t.Setenv("BATCH_RECORDS", "77")
	s := startStarter(t)
	answered := s.post(oldToken)
	require.Equal(t, http.StatusAccepted, answered.status)
	require.Contains(t, answered.body, "filtered", "by a filter from the schedule")
	changed := s.WaitForLog("Setting changed for all starters")
	require.Equal(t, []any{"BATCH_RECORDS", "5000", "77"}, []any{changed["name"], changed["old"], changed["new"]})

	setUp(t, "FILTER_STATUSES=")
	require.Eventually(t, func() bool { return strings.Contains(s.post(oldToken).body, "workflow_id") }, waitAtMost, pollEvery)
	input, _, _ := startedWith(t, namespace, "1234")
	require.Equal(t, "never", input.Settings.HoldBeforeDelete)
	require.Equal(t, 77, input.Settings.BatchRecords)

	// Removing the schedule does not lose the settings.
	require.NoError(t, namespace.Client.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID).Delete(t.Context()))
	require.Eventually(t, func() bool {
		there, err := workflows.ReadInstallation(t.Context(), namespace.Client, namespace.Name)
		return err == nil && there != nil && there.Settings.HoldBeforeDelete == "never"
	}, waitAtMost, pollEvery)
	require.Equal(t, program.ExitOK, s.Stop())
}

func TestAnotherTaskQueueIsRefused(t *testing.T) {
	namespace := newNamespace(t)
	t.Setenv("WEBHOOK_TOKENS", oldToken)
	t.Setenv("LISTEN_ADDRESS", "127.0.0.1:0")
	setUp(t, "TASK_QUEUE=prices")
	const says = "this namespace belongs to another installation: the schedule scrapehaul-reconcile of "
	for _, command := range []string{"setup", "serve"} {
		code, _, problems := inShell(t, []string{"TASK_QUEUE=stocks"}, command)
		require.Equal(t, program.ExitFailed, code)
		require.Contains(t, problems, "starter: "+says+namespace.Name+" is for task queue prices, and TASK_QUEUE is stocks: give each installation its own namespace")
		require.Contains(t, problems, "starter setup --move-task-queue")
		require.Equal(t, "prices", installation(t, namespace).TaskQueue)
	}
	require.ErrorContains(t, workflows.ScheduleReconciliation(t.Context(), namespace.Client, namespace.Name, "stocks", time.Hour, workflows.Settings{}),
		"the schedule scrapehaul-reconcile of "+namespace.Name+` is for task queue "prices", not "stocks": `)
	code, _, problems := runStarter("serve")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "and TASK_QUEUE is scrapingjob-import", "its default")

	code, _, problems = runStarter("setup", "--move-task-queue")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, "TASK_QUEUE is missing: ")
	code, out, problems := runStarter("setup", "--move-task-queue", "--task-queue", "stocks")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "TASK_QUEUE: prices → stocks\nopen imports stay on task queue prices: ")
	require.Equal(t, "stocks", installation(t, namespace).TaskQueue)

	// A host creates its own schedule.
	settings := workflows.Settings{HoldBeforeDelete: "never"}
	require.NoError(t, workflows.ScheduleReconciliation(t.Context(), namespace.Client, namespace.Name, "stocks", time.Hour, settings))
	there := installation(t, namespace)
	require.Equal(t, time.Hour, there.Every)
	require.Equal(t, "never", there.Settings.HoldBeforeDelete)
}

func TestHostThatEncryptsPayloadsCanScheduleReconciliation(t *testing.T) {
	namespace := newNamespace(t)
	encrypting, err := client.DialContext(t.Context(), client.Options{
		HostPort: namespace.HostPort, Namespace: namespace.Name,
		DataConverter: converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), converter.NewZlibCodec(converter.ZlibCodecOptions{AlwaysEncode: true})),
	})
	require.NoError(t, err)
	defer encrypting.Close()
	for _, every := range []time.Duration{time.Hour, 2 * time.Hour, 0, time.Hour} {
		require.NoError(t, workflows.ScheduleReconciliation(t.Context(), encrypting, namespace.Name, "prices", every, workflows.Settings{HoldBeforeDelete: "never"}))
		there, err := encrypting.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID).Describe(t.Context())
		require.NoError(t, err)
		require.Equal(t, every == 0, there.Schedule.State.Paused)
		if every > 0 {
			require.Equal(t, every, there.Schedule.Spec.Intervals[0].Every)
		}
		_, err = workflows.ReadInstallation(t.Context(), namespace.Client, namespace.Name)
		require.ErrorContains(t, err, "encrypts", "in plain text")
	}
	require.ErrorContains(t, workflows.ScheduleReconciliation(t.Context(), encrypting, namespace.Name, "stocks", time.Hour, workflows.Settings{}),
		`is for task queue "prices", not "stocks"`)
}

func TestConcurrentSettingChangesAreAllKept(t *testing.T) {
	namespace := newNamespace(t)
	setUp(t)
	var group sync.WaitGroup
	for _, g := range []given{{"HOLD_BEFORE_DELETE": "never"}, {"BATCH_RECORDS": "77"}, {"FILTER_TAG": "prices"}, {"MAX_REJECTED": "5"}, {"RECONCILE_EVERY": "1h"}} {
		group.Go(func() {
			_, err := (&store{temporal: namespace.Client, namespace: namespace.Name, given: g}).write(t.Context())
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	there := installation(t, namespace)
	require.Equal(t, []any{"never", 77, "prices", 5, time.Hour}, []any{
		there.Settings.HoldBeforeDelete, there.Settings.BatchRecords, there.Settings.Filter.Tag, there.Settings.MaxRejected, there.Every,
	})
}

func TestChangeBetweenReadingAndWritingIsNotLost(t *testing.T) {
	namespace := newNamespace(t)
	setUp(t)
	var between sync.Once
	err := workflows.ChangeInstallation(t.Context(), namespace.Client, namespace.Name, func(i *workflows.Installation, _ bool) error {
		between.Do(func() { setUp(t, "BATCH_RECORDS=77") })
		given{"HOLD_BEFORE_DELETE": "never"}.apply(i)
		return nil
	})
	require.NoError(t, err)
	there := installation(t, namespace)
	require.Equal(t, 77, there.Settings.BatchRecords)
	require.Equal(t, "never", there.Settings.HoldBeforeDelete)
}

func TestRefreshKeepsFieldsOfALaterVersion(t *testing.T) {
	namespace := newNamespace(t)
	c := newCurrentSettings(namespace.Name, given{}, time.Hour, discard())
	kept := &store{temporal: namespace.Client, namespace: namespace.Name}
	require.NoError(t, c.refresh(t.Context(), kept))
	service := namespace.Client.WorkflowService()
	read := func() *workflowservice.DescribeScheduleResponse {
		there, err := service.DescribeSchedule(t.Context(), &workflowservice.DescribeScheduleRequest{
			Namespace: namespace.Name, ScheduleId: workflows.ReconcileScheduleID,
		})
		require.NoError(t, err)
		return there
	}
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{"later": {Data: []byte("1")}}}
	require.Eventually(t, func() bool {
		there := read()
		action := there.GetSchedule().GetAction().GetStartWorkflow()
		if len(action.GetMemo().GetFields()) > 0 {
			return true
		}
		action.Memo = memo
		_, err := service.UpdateSchedule(t.Context(), &workflowservice.UpdateScheduleRequest{
			Namespace: namespace.Name, ScheduleId: workflows.ReconcileScheduleID, Schedule: there.GetSchedule(),
			ConflictToken: there.GetConflictToken(), RequestId: rand.Text(),
		})
		require.NoError(t, err)
		return false
	}, waitAtMost, pollEvery)
	kept.given = given{"MAX_REJECTED": "5"}
	require.NoError(t, c.refresh(t.Context(), kept))
	action := read().GetSchedule().GetAction().GetStartWorkflow()
	require.Equal(t, []byte("1"), action.GetMemo().GetFields()["later"].GetData())
	require.Equal(t, 5, installation(t, namespace).Settings.MaxRejected)
}
