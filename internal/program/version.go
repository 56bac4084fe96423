package program

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

// Releases and images set these with the linker: -X …program.version=v1.2.3.
var version, commit, date string

// VersionFlag prints the program's name and version, with the commit and its date.
type VersionFlag bool

// BeforeReset is called by kong before it requires any argument.
func (VersionFlag) BeforeReset(app *kong.Kong) error {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintln(app.Stdout, app.Model.Name, versionText(info))
	app.Exit(ExitOK)
	return nil
}

// versionText returns "v1.2.3 (commit 4648680…, 2026-01-02T03:04:05Z)". What the linker did
// not set comes from the build: go install knows the version, a build in a clone all three.
func versionText(info *debug.BuildInfo) string {
	version, commit, date := version, commit, date
	if info != nil {
		version = cmp.Or(version, info.Main.Version)
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				commit = cmp.Or(commit, setting.Value)
			case "vcs.time":
				date = cmp.Or(date, setting.Value)
			}
		}
	}
	text := cmp.Or(version, "(devel)")
	if commit != "" {
		text += fmt.Sprintf(" (commit %s, %s)", commit, cmp.Or(date, "date unknown"))
	}
	return text
}

// calledAs returns the name of the process's file if that is a longer name of the program,
// such as scrapehaul-worker in a release.
func calledAs(name, file string) string {
	if base := strings.TrimSuffix(filepath.Base(file), ".exe"); strings.HasSuffix(base, "-"+name) {
		return base
	}
	return name
}

var ownCommands = regexp.MustCompile(`(^|[^-\w])(starter (?:account|backfill|diff|doctor|healthcheck|import|jobs|list|reconcile|reimport|run|serve|setup|signal|status)|` +
	`worker (?:check-mapping|healthcheck|migrate|migrate-mapping|run))\b`)

// Commands returns the text with the starter's and the worker's commands in it as they are
// typed here: with the prefix of the process's file, as in scrapehaul-starter.
func Commands(text string) string { return commandsAs(text, os.Args[0]) }

func commandsAs(text, file string) string {
	for _, own := range []string{"starter", "worker"} {
		if prefix, ok := strings.CutSuffix(calledAs(own, file), own); ok && prefix != "" {
			return ownCommands.ReplaceAllString(text, "${1}"+prefix+"${2}")
		}
	}
	return text
}
