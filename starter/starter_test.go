package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Secrets that must not appear in any output.
const (
	oldToken = "webhook-token-zx82"
	newToken = "webhook-token-zx86"
)

// Generous limits, for the slowest machine.
const (
	waitAtMost = time.Minute
	pollEvery  = 10 * time.Millisecond
)

// runStarter runs the program to its end.
func runStarter(args ...string) (code int, out, problems string) {
	return programtest.Run("starter", new(commands), args...)
}

func TestEveryInvalidSettingIsNamedBeforeAnythingStarts(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"LISTEN_ADDRESS":      "8080",
		"WEBHOOK_TOKENS":      " , ,",
		"TASK_QUEUE":          "",
		"HOLD_BEFORE_DELETE":  "for a day",
		"SOURCE_FORMAT":       "xlsx",
		"SOURCE_RAW":          "unparsed",
		"BATCH_RECORDS":       "0",
		"MAX_RECORD_BYTES":    "16MiB",
		"WORKER_GONE_AFTER":   "0",
		"HEARTBEAT_TIMEOUT":   "30",
		"MAX_REJECTED":        "-1",
		"MIN_RECORDS_PERCENT": "101",
		"ATTENTION_TIMEOUT":   "a week",
		"TEMPORAL_PROFILE":    "production",
	})
	shared := []string{
		"TASK_QUEUE is missing: ",
		`HOLD_BEFORE_DELETE is "for a day": `,
		`SOURCE_FORMAT is "xlsx": want json or csv`,
		`SOURCE_RAW is "unparsed": want true or false`,
		`BATCH_RECORDS is "0": `,
		`MAX_RECORD_BYTES is "16MiB": `,
		`WORKER_GONE_AFTER is "0": `,
		`HEARTBEAT_TIMEOUT is "30": `,
		`MAX_REJECTED is "-1": `,
		`MIN_RECORDS_PERCENT is "101": `,
		`ATTENTION_TIMEOUT is "a week": `,
		"the TEMPORAL_* variables or the profile file they name: ",
	}
	for _, c := range []struct {
		args []string
		more []string
	}{
		{[]string{"serve"}, []string{`LISTEN_ADDRESS is "8080": `, "WEBHOOK_TOKENS is missing: "}},
		{[]string{"import", "1", "zwei", "0"}, []string{`"zwei" is not the ID of a scraping job: `, `"0" is not the ID of a scraping job: `}},
		{[]string{"reimport", "99999999999999999999"}, []string{`"99999999999999999999" is not the ID of a scraping job: `}},
	} {
		code, out, problems := runStarter(c.args...)
		require.Equal(t, program.ExitSettings, code)
		require.Empty(t, out)
		programtest.RequireProblems(t, "starter", problems, append(c.more, shared...)...)
	}
}

func TestOneInvalidSettingPreventsTheStart(t *testing.T) {
	for _, c := range []struct {
		name, value, want string
	}{
		{"WEBHOOK_TOKENS", "", "WEBHOOK_TOKENS is missing"},
		{"LISTEN_ADDRESS", "", `LISTEN_ADDRESS is ""`},
		{"HOLD_BEFORE_DELETE", "-1h", `HOLD_BEFORE_DELETE is "-1h"`},
		{"HOLD_BEFORE_DELETE", "", `HOLD_BEFORE_DELETE is ""`},
		{"SOURCE_FORMAT", "", `SOURCE_FORMAT is "": want json or csv`},
		{"SOURCE_FORMAT", "CSV", `SOURCE_FORMAT is "CSV": want json or csv`},
		{"SOURCE_RAW", "", `SOURCE_RAW is "": want true or false`},
		{"BATCH_RECORDS", "1000001", `BATCH_RECORDS is "1000001"`},
		{"MAX_RECORD_BYTES", "134217729", `MAX_RECORD_BYTES is "134217729"`},
		{"HEARTBEAT_TIMEOUT", "500ms", `HEARTBEAT_TIMEOUT is "500ms"`},
		{"RECONCILE_EVERY", "often", `RECONCILE_EVERY is "often"`},
		{"RECONCILE_EVERY", "1s", `RECONCILE_EVERY is "1s": want a duration of at least 1m, or 0 for never`},
		{"RECONCILE_EVERY", "-1h", `RECONCILE_EVERY is "-1h": want a duration of at least 1m`},
		{"MAX_REJECTED", "-1", `MAX_REJECTED is "-1": want a number from 0 to 9223372036854775807`},
		{"WEBHOOK_TOKENS", "short-zx99", "WEBHOOK_TOKENS: token 1 of 1 is 10 characters long, but needs 16: "},
		{"WEBHOOK_TOKENS", oldToken + ", " + newToken + "+a", "WEBHOOK_TOKENS: token 2 of 2 has a character that is special in a URL's query, such as + & # %"},
		{"WEBHOOK_TOKENS", "#" + oldToken, "WEBHOOK_TOKENS: token 1 of 1 has a character"},
		{"WEBHOOK_TOKENS", "acme=short-zx99", "WEBHOOK_TOKENS: token 1 of 1 is 10 characters long, but needs 16: "},
		{"WEBHOOK_TOKENS", "Acme=" + oldToken, "WEBHOOK_TOKENS: token 1 of 1 does not start with an account name: want NAME=TOKEN"},
		{"WEBHOOK_TOKENS", "account-without-a-token=", "WEBHOOK_TOKENS: token 1 of 1 is empty: want NAME=TOKEN"},
		{"WEBHOOK_TOKENS", oldToken + ",acme=" + oldToken, "WEBHOOK_TOKENS: token 2 of 2 is also another account's: want a different token for each account"},
		{"WEBHOOK_TOKENS_FILE", oldToken, "WEBHOOK_TOKENS_FILE: reading the file: no such file or directory"},
		{"TEMPORAL_TLS", "perhaps", `TEMPORAL_TLS is "perhaps": want true or false`},
		{"FILTER_STATUSES", "finished,done", `FILTER_STATUSES: the filter's status "done" is none of finished, stopped, failed and shelved`},
		{"FILTER_STATUSES", "finished;acme=done", `FILTER_STATUSES: the filter's status "done" is none of`},
		{"FILTER_TAG", "prices;Acme=books", `FILTER_TAG has "Acme=books" after a semicolon: want ACCOUNT=VALUE, once per account`},
		{"FILTER_TAG", "prices;acme=books;acme=", `FILTER_TAG has "acme=" after a semicolon`},
		{"WEBHOOK_SIGNATURE_SECRET", "fifteen-bytes-x", "WEBHOOK_SIGNATURE_SECRET is 15 bytes long: want at least 16"},
	} {
		t.Run(c.want, func(t *testing.T) {
			s := map[string]string{"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0"}
			s[c.name] = c.value
			programtest.SetEnvironment(t, s)
			code, _, problems := runStarter("serve")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "starter", problems, c.want)
			for _, token := range []string{oldToken, newToken, "short-zx99"} {
				require.NotContains(t, problems, token)
			}
		})
	}
}

func TestEveryTemporalCommandValidatesTLS(t *testing.T) {
	for _, value := range []string{"perhaps", "enabled"} {
		programtest.SetEnvironment(t, map[string]string{"WEBHOOK_TOKENS": oldToken, "TEMPORAL_TLS": value})
		for _, command := range []string{"serve", "import 1", "reimport 1", "reconcile", "list", "run 12", "status 1", "signal 1 keep", "setup"} {
			code, _, problems := runStarter(strings.Fields(command)...)
			require.Equal(t, program.ExitSettings, code, command)
			programtest.RequireProblems(t, "starter", problems, `TEMPORAL_TLS is "`+value+`": want true or false`)
		}
		_, out, _ := runStarter("doctor")
		require.Contains(t, out, `fix   TEMPORAL_TLS is "`+value+`": want true or false`)
	}
}

func TestCommandsNameMissingArguments(t *testing.T) {
	programtest.SetEnvironment(t, nil)
	for _, args := range [][]string{nil, {"import"}, {"reimport"}, {"run"}, {"status"}} {
		code, out, problems := runStarter(args...)
		require.Equal(t, program.ExitSettings, code)
		require.Empty(t, out)
		require.Contains(t, problems, "expected")
	}
}

func TestUnreachableTemporalIsNamed(t *testing.T) {
	address := programtest.ClosedPort(t)
	programtest.SetEnvironment(t, map[string]string{"TEMPORAL_ADDRESS": address})
	for _, command := range []string{"import", "reimport"} {
		code, out, problems := runStarter(command, "1")
		require.Equal(t, program.ExitFailed, code)
		require.Empty(t, out)
		require.Contains(t, problems, "starter: connecting to Temporal at "+address)
	}
}

func TestImportCommandNeedsNoWorkerAndNamesTheWorkflow(t *testing.T) {
	namespace := temporaltest.NewNamespace(t)
	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": namespace.HostPort, "TEMPORAL_NAMESPACE": namespace.Name,
		"HOLD_BEFORE_DELETE": "never", "BATCH_RECORDS": "77", "TASK_QUEUE": "elsewhere", "SOURCE_FORMAT": "csv", "SOURCE_RAW": "true",
	})
	for command, signal := range map[string]string{"import": workflows.NotificationSignal, "reimport": workflows.ReimportSignal} {
		code, out, problems := runStarter(command, "7", "1234")
		require.Equal(t, program.ExitOK, code, problems)
		require.Regexp(t, `^scraping job 7: workflow 7, run \S+\nscraping job 1234: workflow 1234, run \S+\n$`, out)
		for _, id := range []string{"7", "1234"} {
			input, signals, queue := startedWith(t, namespace, id)
			require.Equal(t, "never", input.Settings.HoldBeforeDelete)
			require.Equal(t, 77, input.Settings.BatchRecords)
			require.Equal(t, "csv", input.Settings.SourceFormat)
			require.True(t, input.Settings.SourceRaw)
			require.Equal(t, "elsewhere", queue)
			require.Contains(t, signals, signal)
		}
	}
}

// startedWith reads from a workflow's history how it was started.
func startedWith(t *testing.T, namespace temporaltest.Namespace, workflowID string) (
	input workflows.ImportScrapingJobInput, signals []string, taskQueue string,
) {
	t.Helper()
	events := namespace.Client.GetWorkflowHistory(t.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		if started := event.GetWorkflowExecutionStartedEventAttributes(); started != nil {
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(started.GetInput(), &input))
			taskQueue = started.GetTaskQueue().GetName()
		}
		if signaled := event.GetWorkflowExecutionSignaledEventAttributes(); signaled != nil {
			signals = append(signals, signaled.GetSignalName())
		}
	}
	return input, signals, taskQueue
}

func TestHealthcheckOfADeadStarterFails(t *testing.T) {
	address := programtest.ClosedPort(t)
	programtest.SetEnvironment(t, map[string]string{"LISTEN_ADDRESS": address})
	code, _, problems := runStarter("healthcheck")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, address)
}

func TestHealthcheckOfAStarterWithoutTemporalFails(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "TEMPORAL_ADDRESS": programtest.ClosedPort(t)})
	t.Setenv("LISTEN_ADDRESS", startStarter(t).address)
	code, _, problems := runStarter("healthcheck")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "/readyz answers 503")
}

func TestStarterWithoutTemporalAnswers503(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	for name, address := range map[string]string{"connection refused": programtest.ClosedPort(t), "no answer": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			programtest.SetEnvironment(t, map[string]string{"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "TEMPORAL_ADDRESS": address})
			s := startStarter(t)
			require.Equal(t, answer{http.StatusOK, "ok\n"}, s.get("/healthz"))
			require.Equal(t, answer{http.StatusServiceUnavailable, "Temporal cannot be reached\n"}, s.get("/readyz"))

			start := time.Now()
			got := s.post(oldToken)
			require.Equal(t, http.StatusServiceUnavailable, got.status)
			require.Contains(t, got.body, "send the notification again")
			require.Less(t, time.Since(start), 8*time.Second)
			require.Equal(t, program.ExitOK, s.Stop())
		})
	}
}

func TestStarterAcceptsNotificationsUntilItStops(t *testing.T) {
	namespace := temporaltest.NewNamespace(t)
	programtest.SetEnvironment(t, map[string]string{
		"WEBHOOK_TOKENS": oldToken + ", " + newToken, "LISTEN_ADDRESS": "127.0.0.1:0",
		"TEMPORAL_ADDRESS": namespace.HostPort, "TEMPORAL_NAMESPACE": namespace.Name,
	})
	s := startStarter(t)
	require.Equal(t, answer{http.StatusOK, "ok\n"}, s.get("/healthz"))
	require.Equal(t, answer{http.StatusOK, "ok\n"}, s.get("/readyz"))
	t.Setenv("LISTEN_ADDRESS", s.address)
	code, _, problems := runStarter("healthcheck")
	require.Equal(t, program.ExitOK, code, problems)

	for _, token := range []string{oldToken, newToken} {
		require.Equal(t, http.StatusAccepted, s.post(token).status)
	}
	for _, token := range []string{"", "wrong", oldToken + ", " + newToken, " " + newToken} {
		require.Equal(t, http.StatusUnauthorized, s.post(token).status, token)
	}
	_, signals, queue := startedWith(t, namespace, "1234")
	require.Equal(t, []string{workflows.NotificationSignal, workflows.NotificationSignal}, signals)
	require.Equal(t, workflows.DefaultTaskQueue, queue)

	// A notification that started to arrive before the stop is accepted.
	body, rest := io.Pipe()
	reading := make(chan struct{})
	answered := make(chan answer, 1)
	go func() { answered <- s.send(newToken, body, func() { close(reading) }) }()
	select {
	case <-reading:
	case got := <-answered:
		t.Fatalf("answered too early: %+v", got)
	}
	s.Terminate()
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, waitAtMost, pollEvery, "no new connection is accepted")
	_, err := io.WriteString(rest, notification)
	require.NoError(t, err)
	require.NoError(t, rest.Close())
	require.Equal(t, http.StatusAccepted, (<-answered).status)
	require.Equal(t, program.ExitOK, s.Stop())
	require.Contains(t, s.Log.String(), `"msg":"Starter stopped"`)
}

func TestWebhookTokensInAFileChangeWithoutARestart(t *testing.T) {
	namespace := temporaltest.NewNamespace(t)
	file := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write("acme=" + oldToken)
	const base64 = "c2VjcmV0IG9mIGEgd2ViaG9vaw=="
	programtest.SetEnvironment(t, map[string]string{
		"WEBHOOK_TOKENS": base64, "WEBHOOK_TOKENS_FILE": file, "LISTEN_ADDRESS": "127.0.0.1:0",
		"TEMPORAL_ADDRESS": namespace.HostPort, "TEMPORAL_NAMESPACE": namespace.Name,
	})
	s := startStarter(t)
	require.Equal(t, http.StatusAccepted, s.post(base64).status)
	acme := func(token string) int {
		return s.sendTo(webhook.Path+"/acme", token, strings.NewReader(strings.Replace(notification, "1234", "1235", 1)), func() {}).status
	}
	require.Equal(t, http.StatusUnauthorized, acme(base64))
	require.Equal(t, http.StatusUnauthorized, acme(newToken))
	require.Equal(t, http.StatusAccepted, acme(oldToken))
	write("acme=" + oldToken + "\nacme=" + newToken + "\n")
	require.Equal(t, http.StatusAccepted, acme(oldToken))
	require.Equal(t, http.StatusAccepted, acme(newToken))
	write("acme=" + newToken + "\n")
	require.Equal(t, http.StatusUnauthorized, acme(oldToken))
	const notRead = "Reloading the webhook tokens failed"
	require.NotContains(t, s.Log.String(), notRead)
	for n, broken := range []string{"acme=", "acme=short-zx99", ""} {
		write(broken)
		for range 3 {
			require.Equal(t, http.StatusAccepted, acme(newToken))
			require.Equal(t, http.StatusUnauthorized, acme(oldToken))
		}
		require.Equal(t, n+1, strings.Count(s.Log.String(), notRead), "one line: %s", s.Log.String())
	}
	write("acme=" + oldToken)
	require.Equal(t, http.StatusAccepted, acme(oldToken))
	require.Equal(t, http.StatusUnauthorized, acme(newToken))
	require.Equal(t, program.ExitOK, s.Stop())
	for _, token := range []string{oldToken, newToken, base64, "short-zx99"} {
		require.NotContains(t, s.Log.String(), token)
	}
}

func TestStarterFailsIfTheAddressIsInUse(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	address := listener.Addr().String()
	programtest.SetEnvironment(t, map[string]string{"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": address})
	code, _, problems := runStarter("serve")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "starter: listening at LISTEN_ADDRESS: listen tcp "+address)
}

func TestStarterRequiresTheConfiguredSignature(t *testing.T) {
	const secret = "signature-secret-zx86"
	programtest.SetEnvironment(t, map[string]string{
		"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "TEMPORAL_ADDRESS": programtest.ClosedPort(t),
		"WEBHOOK_SIGNATURE_SECRET": secret,
	})
	s := startStarter(t)
	refused := s.post(oldToken)
	require.Equal(t, http.StatusUnauthorized, refused.status)
	require.Contains(t, refused.body, "the signature is missing or wrong")
	require.NotContains(t, s.Log.String(), secret)
}
