package program

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionComesFromTheLinkerOrTheBuild(t *testing.T) {
	clone := &debug.BuildInfo{
		Main:     debug.Module{Version: "v0.0.0-20261130105600-464868012345+dirty"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "464868012345"}, {Key: "vcs.time", Value: "2026-11-30T10:56:00Z"}},
	}
	installed := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}
	for name, c := range map[string]struct {
		version, commit, date string
		info                  *debug.BuildInfo
		want                  string
	}{
		"go build in a clone":     {info: clone, want: "v0.0.0-20261130105600-464868012345+dirty (commit 464868012345, 2026-11-30T10:56:00Z)"},
		"go build without Git":    {info: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, want: "(devel)"},
		"go install":              {info: installed, want: "v1.2.3"},
		"release":                 {"v1.2.4", "0123abc", "2026-12-01T00:00:00Z", clone, "v1.2.4 (commit 0123abc, 2026-12-01T00:00:00Z)"},
		"image with a version":    {version: "v1.2.4", info: &debug.BuildInfo{}, want: "v1.2.4"},
		"image with a commit":     {commit: "0123abc", want: "(devel) (commit 0123abc, date unknown)"},
		"nothing known":           {want: "(devel)"},
		"linker before the build": {version: "v1.2.4", info: installed, want: "v1.2.4"},
	} {
		t.Run(name, func(t *testing.T) {
			version, commit, date = c.version, c.commit, c.date
			t.Cleanup(func() { version, commit, date = "", "", "" })
			require.Equal(t, c.want, versionText(c.info))
		})
	}
}

func TestProgramHasTheNameOfItsFile(t *testing.T) {
	for file, want := range map[string]string{
		"scrapehaul-worker":         "scrapehaul-worker",
		"/opt/bin/acme-worker.exe":  "acme-worker",
		"/worker":                   "worker",
		"/tmp/go-build1/exe/worker": "worker",
		"/tmp/program.test":         "worker",
		"homeworker":                "worker",
	} {
		require.Equal(t, want, calledAs("worker", file), file)
	}
}

func TestCommandsInSentencesCanBePasted(t *testing.T) {
	const text = "start one (worker run), or \"worker migrate\"; starter import 1234 starts one; a starter, the worker runs; acme-starter list"
	const installed = "start one (acme-worker run), or \"acme-worker migrate\"; acme-starter import 1234 starts one; a starter, the worker runs; acme-starter list"
	require.Equal(t, text, commandsAs(text, "/starter"))
	require.Equal(t, text, commandsAs(text, "/tmp/program.test"))
	require.Equal(t, installed, commandsAs(text, "acme-worker"))
	require.Equal(t, installed, commandsAs(text, "/opt/bin/acme-starter.exe"))
}
