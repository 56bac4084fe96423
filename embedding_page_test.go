package scrapehaul_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var goFile = regexp.MustCompile("(?ms)^```(go|go\\.mod)\n((?:module|package) .*?)^```")

// The files of docs/embedding.md make a host that scrapes, imports and continues, and a
// test of it.
func TestHostFromAnEmptyFolder(t *testing.T) {
	t.Parallel()
	s, _ := newScrapingHost(t, immediately)
	folder := t.TempDir()
	root, err := os.Getwd()
	require.NoError(t, err)
	page, err := os.ReadFile("docs/embedding.md")
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoFileExists(t, filepath.Join(folder, name))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	var requirements string
	for _, found := range goFile.FindAllStringSubmatch(string(page), -1) {
		switch text := found[2]; {
		case found[1] == "go.mod":
			requirements = text
			write("go.mod", text+"\nreplace github.com/scrapehaul/scrapehaul => "+root+"\n")
		case strings.Contains(text, "func main("):
			require.Less(t, strings.Count(text, "\n"), 60)
			write("main.go", text)
		default:
			write("main_test.go", text)
		}
	}
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	write("go.sum", string(sums))
	for _, command := range []string{"go mod tidy", "go vet .", "go test .", "go build -o host ."} {
		words := strings.Fields(command)
		run := exec.CommandContext(t.Context(), words[0], words[1:]...)
		run.Dir, run.Env = folder, append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false")
		output, err := run.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, output)
	}
	unformatted, err := exec.CommandContext(t.Context(), "gofmt", "-l", folder).Output()
	require.NoError(t, err)
	require.Empty(t, string(unformatted))

	tidied, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	require.NoError(t, err)
	for line := range strings.Lines(requirements) {
		require.Contains(t, string(tidied), line, "the versions of our own go.mod")
	}

	log := new(programtest.Log)
	host, err := childprocess.Start(childprocess.Command{
		Path: filepath.Join(folder, "host"), Env: append(s.Env.Variables(), "SPOOL_DIR="+t.TempDir()), Log: log, Dir: folder,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, host.Stop()) })
	sitemap := s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "tablets"})
	run, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: hostQueue}, "ScrapePrices", sitemap)
	require.NoError(t, err)
	var says string
	require.NoError(t, run.Get(t.Context(), &says), "%s", log)
	require.Equal(t, "20 prices of tablets", says)
	s.WaitForAnswer("the follow-up", func() bool { return strings.Contains(log.String(), "new prices") })
	s.RequireRecords(firstJob, 20)
	require.Equal(t, workflows.Kept, s.Result(firstJob).Outcome)
	for _, event := range s.History(s.Runs(firstJob)[0]).GetEvents() {
		require.NotEqual(t, enumspb.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, event.GetEventType(), "the follow-up is not canceled")
	}
}
