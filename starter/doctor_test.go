package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// healthySystem returns a system in which the doctor finds nothing.
func healthySystem(t *testing.T) *systemtest.System {
	t.Helper()
	s := newSystem(t, map[string]string{"RECONCILE_EVERY": "24h"})
	s.StartWorker(s.Spool)
	code, _, problems := runStarter("setup")
	require.Equal(t, program.ExitOK, code, problems)
	s.WaitFor("the worker's polls to be known", func() bool {
		code, _, _ := runStarter("doctor")
		return code == program.ExitOK
	})
	return s
}

// runDoctor runs the doctor and requires that its output has no secrets.
func runDoctor(t *testing.T, secrets ...string) (code int, out, problems string) {
	t.Helper()
	code, out, problems = runStarter("doctor")
	for _, secret := range append(secrets, systemtest.APIToken, systemtest.WebhookToken) {
		require.NotContains(t, out+problems, secret)
	}
	return code, out, problems
}

func TestDoctorReportsAHealthySystem(t *testing.T) {
	s := healthySystem(t)
	var out string
	s.WaitFor("a healthy system", func() bool {
		var code int
		code, out, _ = runDoctor(t)
		return code == program.ExitOK && !strings.Contains(out, "hint")
	})
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		require.True(t, strings.HasPrefix(line, "ok    "), line)
	}
	for _, want := range []string{
		"Temporal at ", "namespace ", "workflows in namespace ",
		"workers that polled task queue scrapingjob-import for workflow tasks in the last", "workers that polled task queue scrapingjob-import for activity tasks in the last",
		"workers that polled task queue scrapingjob-import@downloads for activity tasks in the last",
		"the schedule scrapehaul-reconcile runs every 24h0m0s",
		"the import settings in the schedule scrapehaul-reconcile match those given here", "the search attributes are registered",
		"PostgreSQL answers", "PostgreSQL's clock matches this machine's", "the database is writable", "schema scrapehaul is at version ",
		"Web Scraper Cloud accepts WEBSCRAPER_API_TOKEN",
	} {
		require.Contains(t, out, "  "+want)
	}
}

func TestDoctorSaysHowToFixEachProblem(t *testing.T) {
	s := healthySystem(t)
	closed := programtest.ClosedPort(t)
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string // of the lines that are not ok
	}{
		"Temporal is down":       {map[string]string{"TEMPORAL_ADDRESS": closed}, []string{"Temporal at " + closed + ", and everything that depends on it: "}},
		"no such namespace":      {map[string]string{"TEMPORAL_NAMESPACE": "missing"}, []string{"namespace missing, and everything that depends on it: it does not exist"}},
		"wrong Temporal setting": {map[string]string{"TEMPORAL_PROFILE": "production"}, []string{"the TEMPORAL_* variables or the profile file they name: "}},
		"another task queue": {map[string]string{"TASK_QUEUE": "elsewhere"}, []string{
			"TASK_QUEUE is elsewhere here, but scrapingjob-import in the schedule scrapehaul-reconcile: ",
			"no worker polls task queue elsewhere for workflow tasks: start one",
			"no worker polls task queue elsewhere for activity tasks: ",
			"no worker polls task queue elsewhere@downloads for activity tasks: ",
		}},
		"schedule with another interval": {map[string]string{"RECONCILE_EVERY": "1h"}, []string{"RECONCILE_EVERY is 1h here, but 24h in the schedule scrapehaul-reconcile: run starter setup"}},
		"other settings": {map[string]string{"HOLD_BEFORE_DELETE": "0", "FILTER_TAG": "prices", "MAX_REJECTED": "00", "ATTENTION_TIMEOUT": "10080m"}, []string{
			"HOLD_BEFORE_DELETE is 0 here, but 24h in the schedule scrapehaul-reconcile: ",
			`FILTER_TAG is prices here, but "" in the schedule scrapehaul-reconcile: `,
		}},
		"wrong interval":      {map[string]string{"RECONCILE_EVERY": "soon"}, []string{`RECONCILE_EVERY is "soon": `}},
		"no database setting": {map[string]string{"DATABASE_URL": ""}, []string{"DATABASE_URL is missing: "}},
		"database is down": {map[string]string{"DATABASE_URL": "postgres://importer:" + password + "@" + closed + "/scrapes?sslmode=disable"},
			[]string{"PostgreSQL, and everything that depends on it: connecting with DATABASE_URL: "}},
		"database without schema": {map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)}, []string{fmt.Sprintf("schema scrapehaul is at version 0 of %d: start a worker, or run worker migrate", newestVersion(s))}},
		"database is read-only": {map[string]string{"DATABASE_URL": withOption(t, s.Env.DatabaseURL, "default_transaction_read_only", "on")},
			[]string{"the database is read-only: "}},
		"no API token":    {map[string]string{"WEBSCRAPER_API_TOKEN": ""}, []string{"WEBSCRAPER_API_TOKEN is missing: "}},
		"wrong API token": {map[string]string{"WEBSCRAPER_API_TOKEN": "wrong-token-zx99"}, []string{"Web Scraper Cloud refuses WEBSCRAPER_API_TOKEN given here: use the one on its API page"}},
		"API is down":     {map[string]string{"WEBSCRAPER_API_BASE_URI": "http://" + closed}, []string{"Web Scraper Cloud: "}},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range c.settings {
				t.Setenv(variable, value)
			}
			code, out, problems := runDoctor(t, password, "wrong-token-zx99")
			require.Equal(t, program.ExitFailed, code)
			require.Contains(t, problems, "failed")
			requireFixes(t, out, c.want...)
			require.Contains(t, out, "ok    ", "the other checks run")
		})
	}
}

func TestOpenImportsOfTheTaskQueueLeftBehindAreShown(t *testing.T) {
	s := newSystem(t, nil)
	_, argument := addJob(s, webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(20, 1)})
	setUp(t)
	code, _, problems := runStarter("setup", "--move-task-queue", "--task-queue", "stocks")
	require.Equal(t, program.ExitOK, code, problems)

	eventually(s, shows(argument+" "), "list")
	_, out, _ := runStarter("status", argument)
	require.Regexp(t, `(?m)^step +unknown: no worker answered: check that a worker runs on task queue scrapingjob-import$`, out)
	_, out, _ = runStarter("doctor")
	require.Contains(t, out, "fix   no worker polls task queue stocks for workflow tasks: start one (worker run), with TASK_QUEUE=stocks\n")
	require.Contains(t, out, "fix   no worker polls task queue scrapingjob-import for workflow tasks: start one (worker run), with TASK_QUEUE=scrapingjob-import until its 1 open import has ended\n")

	s.StartWorker(s.Spool)
	s.WaitFor("the worker", func() bool {
		_, out, _ = runStarter("doctor")
		return strings.Contains(out, "ok    workers that polled task queue scrapingjob-import for workflow tasks in the last 70 seconds: 1; keep one until its 1 open import has ended\n")
	})
}

func TestOtherWorkflowWithAnImportIDIsNamed(t *testing.T) {
	s := newSystem(t, nil)
	_, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "4711", TaskQueue: "orders"}, "OrderWorkflow")
	require.NoError(t, err)
	var problems string
	s.WaitFor("the refusal", func() bool {
		var code int
		code, _, problems = runStarter("import", "4711")
		return code == program.ExitFailed
	})
	require.Contains(t, problems, "workflow 4711 is a OrderWorkflow: another workflow uses the scraping job's ID as its workflow ID: ")
}

// requireFixes requires exactly these "fix" lines, each by its prefix.
func requireFixes(t *testing.T, out string, want ...string) {
	t.Helper()
	var fixes []string
	for line := range strings.Lines(out) {
		if fix, ok := strings.CutPrefix(line, "fix   "); ok {
			fixes = append(fixes, fix)
		}
	}
	require.Len(t, fixes, len(want), out)
	for i, fix := range fixes {
		require.True(t, strings.HasPrefix(fix, want[i]), "%q, want %q", fix, want[i])
	}
}

// withOption makes PostgreSQL set a parameter for each connection.
func withOption(t *testing.T, databaseURL, name, value string) string {
	t.Helper()
	parsed, err := url.Parse(databaseURL)
	require.NoError(t, err)
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

// newestVersion returns the version of schema scrapehaul in the system's database.
func newestVersion(s *systemtest.System) int64 {
	return s.Count(`SELECT max(version_id) FROM scrapehaul.goose_db_version`)
}

func TestDoctorFindsARoleWithoutPrivileges(t *testing.T) {
	s := healthySystem(t)
	role := "doctor_test_" + strings.ToLower(rand.Text()) // roles are server-wide
	_, err := s.DB.Exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD '` + password + `'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := s.DB.Exec(`DROP OWNED BY ` + role + `; DROP ROLE ` + role)
		require.NoError(t, err)
	})
	reader, err := url.Parse(s.Env.DatabaseURL)
	require.NoError(t, err)
	reader.User = url.UserPassword(role, password)
	t.Setenv("DATABASE_URL", reader.String())

	_, out, _ := runDoctor(t, password)
	requireFixes(t, out, "the role in DATABASE_URL cannot read and write schema scrapehaul, table ")
	_, err = s.DB.Exec(`GRANT USAGE ON SCHEMA scrapehaul TO ` + role + `; GRANT ALL ON ALL TABLES IN SCHEMA scrapehaul TO ` + role + `;
		REVOKE DELETE ON scrapehaul.spools FROM ` + role)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, "the role in DATABASE_URL cannot read and write table spools: ")

	_, err = s.DB.Exec(`GRANT DELETE ON scrapehaul.spools TO ` + role + `;
		INSERT INTO scrapehaul.sitemap_views (sitemap_name, view_name, problem) VALUES ('laptops', 'laptops', 'making view sitemaps."laptops": no')`)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, `making view sitemaps."laptops": no (the records are still in scrapehaul.scraped_records): `)

	newest := newestVersion(s)
	_, err = s.DB.Exec(`UPDATE scrapehaul.goose_db_version SET is_applied = false WHERE version_id = $1`, newest)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, fmt.Sprintf("schema scrapehaul is at version %d of %d, and the role in DATABASE_URL cannot migrate it: ", newest-1, newest))

	_, err = s.DB.Exec(`INSERT INTO scrapehaul.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, fmt.Sprintf("schema scrapehaul is at version 99, but this program supports only up to %d: ", newest))
}

func TestDoctorFindsMissingTables(t *testing.T) {
	s := healthySystem(t)
	var tables []string
	require.NoError(t, s.DB.Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'scrapehaul' AND tablename <> 'goose_db_version' ORDER BY 1`))
	for _, table := range tables {
		_, err := s.DB.Exec(`ALTER TABLE scrapehaul.` + table + ` RENAME TO ` + table + `_of_yesterday`)
		require.NoError(t, err)
	}
	_, out, _ := runDoctor(t)
	requireFixes(t, out, fmt.Sprintf("schema scrapehaul is at version %d, but lacks %s: ", newestVersion(s), strings.Join(tables, ", ")))
}

func TestDoctorFindsTemporalProblems(t *testing.T) {
	s := healthySystem(t)
	schedule := s.Temporal.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{Note: "for the night"}))
	_, out, _ := runDoctor(t)
	requireFixes(t, out, "the schedule scrapehaul-reconcile is paused (for the night): ")
	require.NoError(t, schedule.Delete(t.Context()))
	_, out, _ = runDoctor(t)
	requireFixes(t, out, "the schedule scrapehaul-reconcile does not exist: run starter setup")
	t.Setenv("RECONCILE_EVERY", "soon")
	_, out, _ = runDoctor(t)
	require.Contains(t, out, "hint  Temporal, the schedule and the workers are checked once these settings are right")
}

func TestDoctorCountsLiveWorkers(t *testing.T) {
	s := newSystem(t, nil)
	polls := func(workers string) func() bool {
		return func() bool {
			_, out, _ := runDoctor(t)
			return strings.Count(out, "tasks in the last 70 seconds: "+workers+"\n") == 3
		}
	}
	worker := s.StartWorker(s.Spool)
	s.WaitFor("a worker", polls("1"))
	require.NoError(t, worker.Stop())
	restarted := s.StartWorker(s.Spool)
	other := s.StartWorker(t.TempDir())
	s.WaitFor("two workers, one of them restarted", polls("2"))
	for _, each := range []*childprocess.Process{restarted, other} {
		require.NoError(t, syscall.Kill(each.PID(), syscall.SIGKILL))
		<-each.Done()
	}
	// Temporal lists them for five minutes, longer than the test waits.
	impatient := &commands{Doctor: doctorCommand{maxPoll: time.Second}}
	s.WaitFor("no live worker", func() bool {
		_, out, _ := programtest.Run("starter", impatient, "doctor")
		return strings.Count(out, "fix   no worker polls task queue ") == 3
	})
}

func TestDoctorHintsAtSearchAttributes(t *testing.T) {
	s := newSystem(t, nil)
	s.StartWorker(s.Spool)
	var out string
	s.WaitFor("the worker's polls to be known", func() bool {
		var code int
		code, out, _ = runDoctor(t)
		return code == program.ExitOK
	})
	require.Contains(t, out, "hint  search attributes not registered as Keyword")
	require.Contains(t, out, "ok    the schedule scrapehaul-reconcile exists and is paused, as RECONCILE_EVERY is 0")
}

func TestDoctorFindsClockSkew(t *testing.T) {
	healthySystem(t)
	slow := &commands{Doctor: doctorCommand{now: func() time.Time { return time.Now().Add(-time.Hour) }}}
	code, out, _ := programtest.Run("starter", slow, "doctor")
	require.Equal(t, program.ExitFailed, code)
	requireFixes(t, out, "PostgreSQL's clock is 1h0m")
	require.Contains(t, out, "ahead of this machine's: synchronize both with NTP")
	fast := &commands{Doctor: doctorCommand{now: func() time.Time { return time.Now().Add(time.Hour) }}}
	_, out, _ = programtest.Run("starter", fast, "doctor")
	requireFixes(t, out, "PostgreSQL's clock is 1h0m")
	require.Contains(t, out, "behind this machine's: synchronize both with NTP")
}

func TestDoctorNamesTheAPIAnswer(t *testing.T) {
	s := healthySystem(t)
	fault := s.Cloud.Inject(webscrapertest.Fault{Path: "account", Times: 1, Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	_, out, _ := runDoctor(t)
	requireFixes(t, out, "Web Scraper Cloud: ")
	require.Contains(t, out, "502 Bad Gateway")
	require.Equal(t, 1, fault.Hits())
	s.Cloud.Inject(webscrapertest.Fault{Path: "account", Times: 1, Effect: webscrapertest.TooManyRequests(time.Minute)})
	_, out, _ = runDoctor(t)
	require.Contains(t, out, "hint  Web Scraper Cloud: the account's API calls are used up for now: ")
}

func TestDoctorHintsAtImportsWaitingForCalls(t *testing.T) {
	s := healthySystem(t)
	s.DB.MustExec(`
		INSERT INTO scrapehaul.api_budgets (account, window_number, calls, taken, answered, resets_at) VALUES ('default', 1, 200, 200, true, now() + interval '7 minutes')
		ON CONFLICT (account) DO UPDATE SET resets_at = excluded.resets_at;
		INSERT INTO scrapehaul.api_waits (account, holder, calls, place, until) SELECT 'default', n::text, 2, now(), now() + interval '7 minutes' FROM generate_series(1, 12) AS n`)
	code, out, problems := runDoctor(t)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^hint  imports waiting for the API's rate limit: 12; they resume on their own, the next at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$`, out)
}

func TestDoctorHintsAtAsynchronousReplicas(t *testing.T) {
	healthySystem(t)
	server, database := postgrestest.NewServer(t)
	t.Setenv("DATABASE_URL", database)
	address, err := url.Parse(database)
	require.NoError(t, err)
	name := strings.TrimPrefix(address.Path, "/")
	standby := postgrestest.NewStandby(t, server)

	_, out, _ := runDoctor(t)
	require.Contains(t, out, "hint  standby servers attached: 1; no commit waits for them (synchronous_standby_names), ")

	t.Setenv("DATABASE_URL", standby.URL(name))
	_, out, _ = runDoctor(t)
	requireFixes(t, out, "the database is read-only: ")

	t.Setenv("DATABASE_URL", postgrestest.NewPgBouncer(t, database, "transaction"))
	_, out, _ = runDoctor(t)
	requireFixes(t, out, "DATABASE_URL points to a pooler without sessions: ", "schema scrapehaul is at version 0 of ")
}
