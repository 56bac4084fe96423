package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webhook"
)

func TestMetricsAreServedApartFromTheWebhook(t *testing.T) {
	namespace := temporaltest.NewNamespace(t)
	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": namespace.HostPort, "TEMPORAL_NAMESPACE": namespace.Name, "RECONCILE_EVERY": "0",
		"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": "127.0.0.1:0",
		"FILTER_STATUSES": "finished",
	})
	s := startStarter(t)
	address, _ := s.WaitForLog("Serving metrics")["address"].(string)
	metrics := func() string {
		response, err := http.Get("http://" + address + "/metrics")
		answer := s.read(response, err)
		require.Equal(t, http.StatusOK, answer.status)
		require.NotContains(t, answer.body, oldToken)
		return answer.body
	}
	require.Equal(t, http.StatusNotFound, s.get("/metrics").status, "the webhook is public")
	for _, answer := range []string{"accepted", "filtered", "unauthorized", "malformed", "misdirected", "temporal-unavailable", "id-taken"} {
		require.Contains(t, metrics(), `scrapehaul_notifications_total{account="default",answer="`+answer+`"} 0`+"\n")
	}

	send := func(token, body string) int { return s.send(token, strings.NewReader(body), func() {}).status }
	require.Equal(t, http.StatusAccepted, s.post(oldToken).status)
	require.Equal(t, http.StatusAccepted, s.post(oldToken).status)
	require.Equal(t, http.StatusAccepted, send(oldToken, strings.Replace(notification, "finished", "stopped", 1)))
	require.Equal(t, http.StatusUnauthorized, s.post(newToken).status)
	require.Equal(t, http.StatusBadRequest, send(oldToken, "status=finished"))
	at := func(path string) int {
		response, err := http.Post("http://"+s.address+path+"?token="+oldToken, "application/x-www-form-urlencoded", strings.NewReader(notification))
		return s.read(response, err).status
	}
	for _, path := range []string{webhook.Path + "/", "/" + webhook.Path, webhook.Path + "//", "/Webhooks//Webscraper"} {
		require.Equal(t, http.StatusAccepted, at(path), path)
	}
	require.Equal(t, http.StatusNotFound, at("/webhook"))
	s.WaitForLog("Notification refused")
	for range 2 {
		text := metrics()
		for answer, n := range map[string]string{"accepted": "6", "filtered": "1", "unauthorized": "1", "malformed": "1", "temporal-unavailable": "0"} {
			require.Contains(t, text, `scrapehaul_notifications_total{account="default",answer="`+answer+`"} `+n+"\n")
		}
		require.Contains(t, text, `scrapehaul_notifications_total{account="",answer="misdirected"} 1`+"\n")
	}
}

func TestAnswersWithoutTemporalAreCounted(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": programtest.ClosedPort(t), "WEBHOOK_TOKENS": oldToken,
		"LISTEN_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": "127.0.0.1:0",
	})
	s := startStarter(t)
	address, _ := s.WaitForLog("Serving metrics")["address"].(string)
	require.Equal(t, http.StatusServiceUnavailable, s.post(oldToken).status)
	response, err := http.Get("http://" + address + "/metrics")
	answer := s.read(response, err)
	require.Contains(t, answer.body, `scrapehaul_notifications_total{account="default",answer="temporal-unavailable"} 1`+"\n")
	require.NotContains(t, answer.body, "scrapehaul_imports_needing_attention{", "it is unknown")
}

func TestStarterThatCannotServeMetricsExits(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": programtest.ClosedPort(t), "WEBHOOK_TOKENS": oldToken,
		"LISTEN_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": listener.Addr().String(),
	})
	code, _, problems := runStarter("serve")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "starter: listening at METRICS_ADDRESS: listen tcp "+listener.Addr().String())
}

func TestTracingSettingsAreChecked(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": "9090",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:" + newToken, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
	})
	code, _, problems := runStarter("serve")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems,
		`METRICS_ADDRESS is "9090": `,
		"OTEL_EXPORTER_OTLP_ENDPOINT is not the URL of an OTLP receiver: ",
		`OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": `)
	require.NotContains(t, problems, newToken, "it may contain a password")
}
