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

// wellSystem is a system about which the doctor has nothing to say.
func wellSystem(t *testing.T) *systemtest.System {
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

// runDoctor requires that what it writes has no secrets.
func runDoctor(t *testing.T, secrets ...string) (code int, out, problems string) {
	t.Helper()
	code, out, problems = runStarter("doctor")
	for _, secret := range append(secrets, systemtest.APIToken, systemtest.WebhookToken) {
		require.NotContains(t, out+problems, secret)
	}
	return code, out, problems
}

func TestDoctorFindsAllWell(t *testing.T) {
	s := wellSystem(t)
	var out string
	s.WaitFor("all to be well", func() bool {
		var code int
		code, out, _ = runDoctor(t)
		return code == program.ExitOK && !strings.Contains(out, "hint")
	})
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		require.True(t, strings.HasPrefix(line, "ok    "), line)
	}
	for _, want := range []string{
		"Temporal at ", "namespace ", "workflows of namespace ",
		"workers poll task queue scrapingjob-import for workflow tasks", "workers poll task queue scrapingjob-import for activity tasks",
		"workers poll task queue scrapingjob-import@downloads for activity tasks",
		"the schedule scrapehaul-reconcile is there, every 24h0m0s",
		"the settings of imports in the schedule scrapehaul-reconcile are those that were given here", "the search attributes are registered",
		"PostgreSQL answers", "PostgreSQL and this machine have the same time", "the database may be written to", "schema scrapehaul is at version ",
		"Web Scraper Cloud takes WEBSCRAPER_API_TOKEN",
	} {
		require.Contains(t, out, "  "+want)
	}
}

func TestDoctorSaysWhatToDoAboutEachThingThatIsBroken(t *testing.T) {
	s := wellSystem(t)
	nobody := programtest.ClosedPort(t)
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string // of the lines that are not ok
	}{
		"Temporal is away":       {map[string]string{"TEMPORAL_ADDRESS": nobody}, []string{"Temporal at " + nobody + ", and all that depends on it: "}},
		"no such namespace":      {map[string]string{"TEMPORAL_NAMESPACE": "nowhere"}, []string{"namespace nowhere, and all that depends on it: it does not exist"}},
		"wrong Temporal setting": {map[string]string{"TEMPORAL_PROFILE": "production"}, []string{"the TEMPORAL_* variables or the profile file they name: "}},
		"another task queue": {map[string]string{"TASK_QUEUE": "elsewhere"}, []string{
			"TASK_QUEUE is elsewhere here, and scrapingjob-import in the schedule scrapehaul-reconcile: ",
			"no worker polls task queue elsewhere for workflow tasks: start one",
			"no worker polls task queue elsewhere for activity tasks: ",
			"no worker polls task queue elsewhere@downloads for activity tasks: ",
		}},
		"schedule of another time": {map[string]string{"RECONCILE_EVERY": "1h"}, []string{"RECONCILE_EVERY is 1h here, and 24h in the schedule scrapehaul-reconcile: run starter setup"}},
		"other settings": {map[string]string{"HOLD_BEFORE_DELETE": "0", "FILTER_TAG": "prices", "MAX_REJECTED": "00", "ATTENTION_TIMEOUT": "10080m"}, []string{
			"HOLD_BEFORE_DELETE is 0 here, and 24h in the schedule scrapehaul-reconcile: ",
			`FILTER_TAG is prices here, and "" in the schedule scrapehaul-reconcile: `,
		}},
		"wrong interval":      {map[string]string{"RECONCILE_EVERY": "soon"}, []string{`RECONCILE_EVERY is "soon": `}},
		"no database setting": {map[string]string{"DATABASE_URL": ""}, []string{"DATABASE_URL is missing: "}},
		"database is away": {map[string]string{"DATABASE_URL": "postgres://importer:" + password + "@" + nobody + "/scrapes?sslmode=disable"},
			[]string{"PostgreSQL, and all that depends on it: connecting with DATABASE_URL: "}},
		"database without schema": {map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)}, []string{fmt.Sprintf("schema scrapehaul is at version 0 of %d: start a worker, or run worker migrate", newestVersion(s))}},
		"database is read-only": {map[string]string{"DATABASE_URL": withOption(t, s.Env.DatabaseURL, "default_transaction_read_only", "on")},
			[]string{"the database is read-only: "}},
		"no API token":    {map[string]string{"WEBSCRAPER_API_TOKEN": ""}, []string{"WEBSCRAPER_API_TOKEN is missing: "}},
		"wrong API token": {map[string]string{"WEBSCRAPER_API_TOKEN": "wrong-token-zx99"}, []string{"Web Scraper Cloud refuses WEBSCRAPER_API_TOKEN: take the one on its API page"}},
		"API is away":     {map[string]string{"WEBSCRAPER_API_BASE_URI": "http://" + nobody}, []string{"Web Scraper Cloud: "}},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range c.settings {
				t.Setenv(variable, value)
			}
			code, out, problems := runDoctor(t, password, "wrong-token-zx99")
			require.Equal(t, program.ExitFailed, code)
			require.Contains(t, problems, "checks failed")
			requireFixes(t, out, c.want...)
			require.Contains(t, out, "ok    ", "the other checks go on")
		})
	}
}

func TestWorkflowThatHasAnImportsIDIsNamed(t *testing.T) {
	s := newSystem(t, nil)
	_, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "4711", TaskQueue: "orders"}, "OrderWorkflow")
	require.NoError(t, err)
	var problems string
	s.WaitFor("the refusal", func() bool {
		var code int
		code, _, problems = runStarter("import", "4711")
		return code == program.ExitFailed
	})
	require.Contains(t, problems, "workflow 4711 is a OrderWorkflow: another workflow has the scraping job's number as its ID: ")
}

// requireFixes requires these lines and no others that are not ok, each by its
// beginning.
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

// withOption has PostgreSQL set a parameter for each connection.
func withOption(t *testing.T, databaseURL, name, value string) string {
	t.Helper()
	parsed, err := url.Parse(databaseURL)
	require.NoError(t, err)
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

// newestVersion is that of schema scrapehaul in the system's database.
func newestVersion(s *systemtest.System) int64 {
	return s.Count(`SELECT max(version_id) FROM scrapehaul.goose_db_version`)
}

func TestDoctorFindsARoleWithoutRights(t *testing.T) {
	s := wellSystem(t)
	role := "doctor_test_" + strings.ToLower(rand.Text()) // roles are the whole server's
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
	requireFixes(t, out, "the role of DATABASE_URL may not read and write schema scrapehaul, table ")
	_, err = s.DB.Exec(`GRANT USAGE ON SCHEMA scrapehaul TO ` + role + `; GRANT ALL ON ALL TABLES IN SCHEMA scrapehaul TO ` + role + `;
		REVOKE DELETE ON scrapehaul.spools FROM ` + role)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, "the role of DATABASE_URL may not read and write table spools: ")

	_, err = s.DB.Exec(`GRANT DELETE ON scrapehaul.spools TO ` + role + `;
		INSERT INTO scrapehaul.sitemap_views (sitemap_name, view_name, problem) VALUES ('laptops', 'laptops', 'making view sitemaps."laptops": no')`)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, `making view sitemaps."laptops": no (the records are in scrapehaul.scraped_records all the same): `)

	newest := newestVersion(s)
	_, err = s.DB.Exec(`UPDATE scrapehaul.goose_db_version SET is_applied = false WHERE version_id = $1`, newest)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, fmt.Sprintf("schema scrapehaul is at version %d of %d, and the role of DATABASE_URL may not bring it there: ", newest-1, newest))

	_, err = s.DB.Exec(`INSERT INTO scrapehaul.goose_db_version (version_id, is_applied) VALUES (99, true)`)
	require.NoError(t, err)
	_, out, _ = runDoctor(t, password)
	requireFixes(t, out, fmt.Sprintf("schema scrapehaul is at version 99, of which this program knows only %d: ", newest))
}

func TestDoctorFindsWhatIsWrongInTemporal(t *testing.T) {
	s := wellSystem(t)
	schedule := s.Temporal.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{Note: "for the night"}))
	_, out, _ := runDoctor(t)
	requireFixes(t, out, "the schedule scrapehaul-reconcile is paused (for the night): ")
	require.NoError(t, schedule.Delete(t.Context()))
	_, out, _ = runDoctor(t)
	requireFixes(t, out, "the schedule scrapehaul-reconcile is not there: run starter setup")
}

func TestDoctorCountsTheWorkersThatLive(t *testing.T) {
	s := newSystem(t, nil)
	polls := func(workers string) func() bool {
		return func() bool {
			_, out, _ := runDoctor(t)
			return strings.Count(out, "tasks: "+workers+"\n") == 3
		}
	}
	worker := s.StartWorker(s.Spool)
	s.WaitFor("a worker", polls("1"))
	require.NoError(t, worker.Stop())
	again := s.StartWorker(s.Spool)
	other := s.StartWorker(t.TempDir())
	s.WaitFor("two workers, one of them for the second time", polls("2"))
	for _, each := range []*childprocess.Process{again, other} {
		require.NoError(t, syscall.Kill(each.PID(), syscall.SIGKILL))
		<-each.Done()
	}
	// Temporal remembers them for five minutes, longer than the test waits.
	impatient := &commands{Doctor: doctorCommand{pollLasts: time.Second}}
	s.WaitFor("nobody", func() bool {
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
	require.Contains(t, out, "hint  search attributes that are not registered as Keyword")
	require.Contains(t, out, "ok    the schedule scrapehaul-reconcile is there, and paused, as RECONCILE_EVERY is 0")
}

func TestDoctorFindsClocksThatDiffer(t *testing.T) {
	wellSystem(t)
	slow := &commands{Doctor: doctorCommand{now: func() time.Time { return time.Now().Add(-time.Hour) }}}
	code, out, _ := programtest.Run("starter", slow, "doctor")
	require.Equal(t, program.ExitFailed, code)
	requireFixes(t, out, "the clock of PostgreSQL is 1h0m")
	require.Contains(t, out, "ahead of this machine's: have both set by NTP")
	fast := &commands{Doctor: doctorCommand{now: func() time.Time { return time.Now().Add(time.Hour) }}}
	_, out, _ = programtest.Run("starter", fast, "doctor")
	requireFixes(t, out, "the clock of PostgreSQL is 1h0m")
	require.Contains(t, out, "behind this machine's: have both set by NTP")
}

func TestDoctorNamesTheAPIsAnswer(t *testing.T) {
	s := wellSystem(t)
	fault := s.Cloud.Inject(webscrapertest.Fault{Path: "account", Times: 1, Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	_, out, _ := runDoctor(t)
	requireFixes(t, out, "Web Scraper Cloud: ")
	require.Contains(t, out, "502 Bad Gateway")
	require.Equal(t, 1, fault.Hits())
	s.Cloud.Inject(webscrapertest.Fault{Path: "account", Times: 1, Effect: webscrapertest.TooManyRequests(time.Minute)})
	_, out, _ = runDoctor(t)
	require.Contains(t, out, "hint  Web Scraper Cloud: the account's API calls are used up for now: ")
}

func TestDoctorHintsAtImportsThatWaitForCalls(t *testing.T) {
	s := wellSystem(t)
	s.DB.MustExec(`
		INSERT INTO scrapehaul.api_budgets (account, window_number, calls, taken, answered, resets_at) VALUES ('default', 1, 200, 200, true, now() + interval '7 minutes')
		ON CONFLICT (account) DO UPDATE SET resets_at = excluded.resets_at;
		INSERT INTO scrapehaul.api_waits (account, holder, calls, place, until) SELECT 'default', n::text, 2, now(), now() + interval '7 minutes' FROM generate_series(1, 12) AS n`)
	code, out, problems := runDoctor(t)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^hint  imports that wait for the API's limit of calls: 12; they go on by themselves, the next of them at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$`, out)
}

func TestDoctorHintsAtReplicasThatNoCommitWaitsFor(t *testing.T) {
	wellSystem(t)
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
	requireFixes(t, out, "DATABASE_URL leads to a pooler that keeps no sessions: ", "schema scrapehaul is at version 0 of ")
}
