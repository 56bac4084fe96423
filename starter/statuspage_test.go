package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

const pagePassword = "page-password-zx87"

func TestInvalidStatusPageSettingsAreNamed(t *testing.T) {
	const database = "postgres://me@127.0.0.1/db?sslmode=disable"
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string
	}{
		"no password": {map[string]string{"STATUS_PAGE_USER": "operator", "DATABASE_URL": database}, []string{"STATUS_PAGE_PASSWORD is missing: "}},
		"no user":     {map[string]string{"STATUS_PAGE_PASSWORD": pagePassword, "DATABASE_URL": database}, []string{"STATUS_PAGE_USER is missing: "}},
		"all of them": {
			map[string]string{"STATUS_PAGE_USER": "a:b", "STATUS_PAGE_PASSWORD": "eleven-zx87", "TEMPORAL_UI_URL": "temporal:8233"},
			[]string{
				"STATUS_PAGE_USER has a colon: ", "STATUS_PAGE_PASSWORD is 11 characters long: want at least 12",
				"TEMPORAL_UI_URL is not the URL of a Temporal UI: ", "DATABASE_URL is missing: ",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			settings := map[string]string{"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0"}
			for name, value := range c.settings {
				settings[name] = value
			}
			programtest.SetEnvironment(t, settings)
			code, _, problems := runStarter("serve")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "starter", problems, c.want...)
			require.NotContains(t, problems, "zx87")
		})
	}
}

func TestStatusPageNeedsThePassword(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"WEBHOOK_TOKENS": oldToken, "LISTEN_ADDRESS": "127.0.0.1:0", "TEMPORAL_ADDRESS": programtest.ClosedPort(t),
		"STATUS_PAGE_USER": "operator", "STATUS_PAGE_PASSWORD": pagePassword,
		"DATABASE_URL": "postgres://me:" + pagePassword + "@" + programtest.ClosedPort(t) + "/db?sslmode=disable",
	})
	s := startStarter(t)
	require.Equal(t, http.StatusUnauthorized, s.get("/imports").status)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/imports", nil)
	require.NoError(t, err)
	request.SetBasicAuth("operator", pagePassword)
	page := s.read(http.DefaultClient.Do(request))
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.body, "Temporal has been unavailable")
	require.NotContains(t, s.Log.String(), pagePassword)
}
