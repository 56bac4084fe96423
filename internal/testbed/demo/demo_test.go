package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDemoImportsItsJobsAndLeavesNothingBehind(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("DATABASE_URL", "postgres://importer:secret@127.0.0.1:1/production") // the demo must not use it
	code, out, problems := programtest.Run("demo", new(commands), "--once")
	require.Equal(t, program.ExitOK, code, "%s\n%s", out, problems)
	for _, want := range []string{
		`(?m)^ +1000 +laptops +20 +20 +0 `,
		`(?m)^ +1001 +laptops +20 +20 +0 `,
		`(?m)^ +1002 +books +5000 +5000 +0 `,
		`(?m)^ +1003 +whole-shop +200000 +200000 +0 `,
	} {
		require.Regexp(t, want, out)
	}
	left, err := filepath.Glob(filepath.Join(temporary, "scrapehaul-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// The commands and links of the hints work as printed.
func TestHintsWork(t *testing.T) {
	fulltier.Needs(t, "Temporal and PostgreSQL servers")
	t.Setenv("TMPDIR", t.TempDir())
	demo := programtest.Start(t, "demo", new(commands))
	require.Eventually(t, func() bool { return strings.Contains(demo.Out.String(), "What the imports do from here on") }, 5*time.Minute, 100*time.Millisecond)
	seeWhatContinueChanges(t, demo.Out.String())

	bash := exec.CommandContext(t.Context(), "bash", "-c", exports(demo.Out.String())+"go run ./starter run 1002 --wait")
	bash.Dir = "../../.."
	var progress bytes.Buffer
	bash.Stderr = &progress
	result, err := bash.Output()
	require.NoError(t, err, "%s\n%s", result, &progress)
	require.Regexp(t, `\n\d+ +books +finished +250 +0 +0 +5000 +0 +\d+ +published\n$`, string(result))
	require.Regexp(t, `(?m)^\d\d:\d\d:\d\d  job \d+ scraping$`, progress.String())

	form, err := url.Parse(regexp.MustCompile(`http://\S+/start-workflow\?\S+`).FindString(demo.Out.String()))
	require.NoError(t, err)
	temporal, err := client.Dial(client.Options{HostPort: regexp.MustCompile(`TEMPORAL_ADDRESS=(\S+)`).FindStringSubmatch(demo.Out.String())[1], Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	defer temporal.Close()
	filled := form.Query()
	run, err := temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: filled.Get("workflowId"), TaskQueue: filled.Get("taskQueue")}, filled.Get("workflowType"))
	require.NoError(t, err)
	var says string
	require.NoError(t, run.Get(t.Context(), &says))
	require.Equal(t, "job 1005 of books is published, with 5000 records", says)
	followUps := func() (of []string) {
		for _, line := range regexp.MustCompile(`Follow-up workflow ran for import \d+: (.*)`).FindAllStringSubmatch(demo.Out.String(), -1) {
			of = append(of, line[1])
		}
		return of
	}
	require.Eventually(t, func() bool { return len(followUps()) >= 7 }, time.Minute, 10*time.Millisecond, demo.Out)
	require.Eventually(t, func() bool { return strings.Contains(demo.Out.String(), "Job 1004 of books: holding") }, time.Minute, 10*time.Millisecond, demo.Out)
	require.Equal(t, program.ExitOK, demo.Stop())
	require.ElementsMatch(t, []string{
		"20 records of laptops, job 1000", "20 records of laptops, job 1001", "22 records of laptops, job 1001", "5000 records of books, job 1002", "200000 records of whole-shop, job 1003",
		"5000 records of books, job 1004", "5000 records of books, job 1005",
	}, followUps(), "once each")
}

// exports are the hints' commands that come before all others.
func exports(hints string) string {
	return strings.Join(regexp.MustCompile(`(?m)^ +export .*$`).FindAllString(hints, -1), "\n") + "\n"
}

// seeWhatContinueChanges follows the hints about Continue, and checks the mapped table and
// the latest job before and after.
func seeWhatContinueChanges(t *testing.T, hints string) {
	t.Helper()
	found := func(pattern string) []string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(hints)
		require.NotEmpty(t, match, hints)
		return match[1:]
	}
	db, err := postgres.Open(found(`DATABASE_URL='(\S+)'`)[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	page, sitemap := found(`The status page: +(\S+) \(user (\S+), password (\S+)\)`), found(`(http://\S+/sitemap\?sitemap=laptops)`)[0]
	mapped, changes := found(`-c '(SELECT \* FROM laptops)'`)[0], found(`-c "(SELECT .* FROM scrapehaul.changes\('laptops'\))"`)[0]
	var now struct{ Rows, On, Latest, Job, Added, Gone, Changed int }
	see := func(rows, onSale, added, gone, changed int) bool {
		require.NoError(t, db.Get(&now, `
			WITH mapped AS (`+mapped+`), changes AS (`+changes+`)
			SELECT (SELECT count(*) FROM mapped) AS rows, (SELECT count(*) FROM mapped WHERE on_site AND price > 0) AS on,
			       (SELECT count(*) FROM sitemaps_latest.laptops) AS latest, (SELECT min(scrapingjob_id) FROM sitemaps_latest.laptops) AS job,
			       (SELECT count(*) FROM changes WHERE change = 'new') AS added, (SELECT count(*) FROM changes WHERE change = 'gone') AS gone,
			       (SELECT count(*) FROM changes WHERE change = 'changed' AND old <> new) AS changed`))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sitemap, nil)
		require.NoError(t, err)
		request.SetBasicAuth(page[1], page[2])
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		summary := fmt.Sprintf("Job 1001: %d records, %d new, %d gone, %d changed", onSale, added, gone, changed)
		return now.Rows == rows && now.On == onSale && now.Latest == onSale && now.Job == 1001 &&
			now.Added == added && now.Gone == gone && now.Changed == changed && strings.Contains(string(body), summary)
	}
	require.Eventually(t, func() bool { return see(21, 20, 1, 1, 2) }, time.Minute, 100*time.Millisecond, &now)
	answer, err := http.Post(found(`CLOUD=(\S+)`)[0]+found(`curl -X POST \$CLOUD(\S+/continue)`)[0], "", nil) //nolint:noctx // the demo ends with the test
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Eventually(t, func() bool { return see(24, 22, 4, 2, 4) }, time.Minute, 100*time.Millisecond, &now)

	diff := exec.CommandContext(t.Context(), "bash", "-c", exports(hints)+found(`(go run \./starter diff laptops)`)[0])
	diff.Dir = "../../.."
	output, err := diff.CombinedOutput()
	require.NoError(t, err, "%s", output)
	for kind, times := range map[string]int{"new": 4, "gone": 2, "changed": 4} {
		require.Len(t, regexp.MustCompile(`(?m)^`+kind+`\b`).FindAllString(string(output), -1), times, "%s", output)
	}
}

func TestCloudAloneServesAnyClient(t *testing.T) {
	address := programtest.ClosedPort(t)
	cloud := programtest.Start(t, "demo", new(commands), "cloud", "--listen", address, "--token", "any-secret")
	ask := func(method, path string) (status int, body string) {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, "" // not listening yet
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(content)
	}
	require.Eventually(t, func() bool {
		status, body := ask(http.MethodGet, "/api/v1/scraping-job/1001?api_token=any-secret")
		return status == http.StatusOK && body != ""
	}, time.Minute, 10*time.Millisecond)
	status, _ := ask(http.MethodGet, "/api/v1/account?api_token=another")
	require.Equal(t, http.StatusUnauthorized, status)
	status, body := ask(http.MethodPost, "/faults/nothing")
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, body, "truncate")
	var records string
	require.Eventually(t, func() bool {
		_, records = ask(http.MethodGet, "/api/v1/scraping-job/1001/json?api_token=any-secret")
		return strings.Count(records, "\n") == 20
	}, time.Minute, 100*time.Millisecond)
	status, _ = ask(http.MethodPost, "/faults/malformed")
	require.Equal(t, http.StatusOK, status)
	_, broken := ask(http.MethodGet, "/api/v1/scraping-job/1001/json?api_token=any-secret")
	first, others, _ := strings.Cut(broken, "\n")
	require.False(t, json.Valid([]byte(first)), first)
	require.True(t, strings.HasSuffix(records, others))
	_, again := ask(http.MethodGet, "/api/v1/scraping-job/1001/json?api_token=any-secret")
	require.Equal(t, records, again)
	status, _ = ask(http.MethodPost, "/jobs/7/continue")
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, program.ExitOK, cloud.Stop())
	require.NotContains(t, cloud.Log.String(), "any-secret")
}

func TestWebhookOfTheCloudNeedsItsToken(t *testing.T) {
	code, _, problems := programtest.Run("demo", new(commands), "cloud", "--token", "any-secret", "--webhook", "http://127.0.0.1:8080/webhooks/webscraper?token=")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "demo", problems, "--webhook must be the webhook's URL, which ends in ?token=SECRET")
}

// A new run of a demo sitemap has the number of records and the columns of its first job.
func TestSitemapsScrapeWhatTheirJobsHave(t *testing.T) {
	cloud := newCloud("any-secret", slog.New(slog.DiscardHandler))
	addJobs(cloud)
	columns := func(records webscrapertest.Records) []string {
		var record map[string]string
		require.NoError(t, json.NewDecoder(records.Open()).Decode(&record))
		return slices.Sorted(maps.Keys(record))
	}
	for i, j := range jobs[1:] {
		answer := httptest.NewRecorder()
		cloud.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/api/v1/scraping-job?api_token=any-secret",
			strings.NewReader(fmt.Sprintf(`{"sitemap_id":%d,"driver":"fast","page_load_delay":2000,"request_interval":2000}`, j.sitemapID))))
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		first, _ := cloud.Job(j.id)
		again, found := cloud.Job(jobs[len(jobs)-1].id + int64(i) + 1)
		require.True(t, found)
		require.Equal(t, j.sitemap, again.SitemapName)
		require.EqualValues(t, j.records, again.Records.Count())
		require.Equal(t, columns(first.Records), columns(again.Records))
	}
}
