package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

func TestWorkerDeploymentNeedsNameAndBuild(t *testing.T) {
	for _, c := range []struct{ name, build, want string }{
		{"", "v1", "WORKER_DEPLOYMENT_NAME is missing: "},
		{"scrapehaul", "", "WORKER_BUILD_ID is missing: "},
		{"scrapehaul.prod", "v1", `WORKER_DEPLOYMENT_NAME is "scrapehaul.prod": want a name without "." or ":"`},
	} {
		t.Run(c.want, func(t *testing.T) {
			programtest.SetEnvironment(t, map[string]string{
				"WEBSCRAPER_API_TOKEN": apiToken, "DATABASE_URL": "postgres://importer@db/scrapes?sslmode=disable", "SPOOL_DIR": t.TempDir(),
				"WORKER_DEPLOYMENT_NAME": c.name, "WORKER_BUILD_ID": c.build,
			})
			code, _, problems := runWorker("run")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "worker", problems, c.want)
		})
	}
}

func TestVersionedWorkerRuns(t *testing.T) {
	s := realSettings(t)
	s["WORKER_DEPLOYMENT_NAME"], s["WORKER_BUILD_ID"] = "scrapehaul", "v1.2.3"
	programtest.SetEnvironment(t, s)
	require.Equal(t, program.ExitOK, startWorker(t).Stop())
}
