package doctest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(systemtest.Run(m))
}

// commandTimeout is for machines much slower than ours.
const commandTimeout = 3 * time.Minute

// Jobs that the pages use: both are imported and held.
const (
	exampleJob = 1234 // of sitemap my-sitemap, with a rejected record that was allowed
	otherJob   = 1235
)

// exampleSitemap is the sitemap that the pages run.
const exampleSitemap = 12

// shell executes the commands of a page around a system of its own, as an
// operator does: with the programs on PATH and the settings in the environment.
type shell struct {
	*systemtest.System
	dir         string // where commands are executed
	environment []string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	s := &shell{
		System: systemtest.New(t, map[string]string{
			"HOLD_BEFORE_DELETE": "24h", "RECONCILE_EVERY": "24h", "MAX_REJECTED": "1", "WEBHOOK_SIGNATURE_SECRET": "",
		}, func(o *webscrapertest.Options) { o.Timeline = webscrapertest.Timeline{Started: time.Second} }),
		dir: t.TempDir(),
	}
	s.StartWorker(s.Spool)
	s.Cloud.AddSitemap(webscrapertest.Sitemap{ID: exampleSitemap, Name: "laptops"})
	for _, id := range []int64{exampleJob, otherJob} {
		records := webscrapertest.Products(300, id)
		if id == exampleJob {
			records = webscrapertest.RawBody(`{"product":"IdeaTab A3500L","price":"$88.99"}`+"\n"+`{"product":"\u0000"}`+"\n", 2)
		}
		s.Cloud.AddJob(webscrapertest.Job{ID: id, SitemapName: "my-sitemap", Records: records})
		s.Notify(id)
		s.WaitForStep(id, workflows.StepHold)
	}
	s.environment = append(s.Env.Variables(),
		"PATH="+strings.Join([]string{filepath.Dir(s.Programs.Worker), temporalCLI(t), os.Getenv("PATH"), postgresqlPrograms(t)}, string(filepath.ListSeparator)),
		"HOME="+s.dir, "SPOOL_DIR="+s.Spool, "SPOOL_MIN_FREE=1")
	return s
}

// temporalCLI is a folder with the program "temporal".
func temporalCLI(t *testing.T) string {
	t.Helper()
	program, err := temporalserver.Program(t.Context(), func(step string) { t.Log(step) })
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(program, filepath.Join(dir, "temporal")))
	return dir
}

// postgresqlPrograms is the folder where Debian keeps those that are not on PATH.
func postgresqlPrograms(t *testing.T) string {
	t.Helper()
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	require.NoError(t, err)
	slices.Reverse(folders)
	return strings.Join(folders, string(filepath.ListSeparator))
}

// needyJob is the ID of a job that needs attention, heldJob of one in its hold.
func (s *shell) needyJob() int64 {
	s.T.Helper()
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.RawBody(`{"a":"1"}`+"\n", 2)})
	s.Notify(id)
	s.Attention(id)
	return id
}

func (s *shell) heldJob() int64 {
	s.T.Helper()
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(10, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	return id
}

// prepared are commands that need a job in a certain state, in place of 1234.
var prepared = []struct {
	command *regexp.Regexp
	job     func(*shell) int64
}{
	{regexp.MustCompile(`^starter signal 1234 (accept|keep|abandon)\b`), (*shell).needyJob},
	{regexp.MustCompile(`^starter signal 1234 (delete-now|reimport)\b`), (*shell).heldJob},
	{regexp.MustCompile(`^temporal workflow (terminate|cancel|signal) .*\b1234\b`), (*shell).heldJob},
}

// placeholder is a setting whose value the reader knows; the environment has it.
var placeholder = regexp.MustCompile(`\b[A-Z_]+=…\s+`)

// serving are commands that run until they are stopped, with the log message that
// says they are ready.
var serving = map[string]string{
	"worker run": "Worker started", "worker": "Worker started", "starter serve": "Starter serving",
}

// person matches commands that exit with status 3 if an import needs attention.
var person = regexp.MustCompile(`^starter (status|list)\b`)

// execute requires that the command succeeds.
func (s *shell) execute(t *testing.T, where, command string) {
	t.Helper()
	command = placeholder.ReplaceAllString(command+" ", "")
	if missing := s.missing(command); missing != "" {
		t.Run(command, func(t *testing.T) { t.Skipf("%s is not on this machine", missing) })
		return
	}
	for _, each := range prepared {
		if each.command.MatchString(command) {
			command = strings.Replace(command, "1234", fmt.Sprint(each.job(s)), 1)
		}
	}
	settings, program := splitSettings(command)
	if ready, ok := serving[program]; ok {
		s.serve(t, settings, program, ready)
		return
	}
	for deadline := time.Now().Add(commandTimeout); ; time.Sleep(time.Second) {
		output, status := s.run(t, command)
		if status == 0 || status == 3 && person.MatchString(program) {
			return
		}
		// Temporal needs a moment to register a build.
		if !strings.HasPrefix(program, "temporal worker deployment") || time.Now().After(deadline) {
			require.Zero(t, status, "%s: exit status\n%s", where, output)
		}
	}
}

// notOurs are programs that a machine with Go alone may lack.
var notOurs = []string{"psql", "pg_dump", "pg_restore", "createdb", "openssl", "zstd"}

// missing returns the program of the command that this machine lacks, "" if none.
func (s *shell) missing(command string) string {
	for _, program := range notOurs {
		if !slices.Contains(strings.Fields(command), program) {
			continue
		}
		lookup := exec.Command("bash", "-c", "command -v "+program)
		lookup.Env = s.environment
		if lookup.Run() != nil {
			return program
		}
	}
	return ""
}

func (s *shell) run(t *testing.T, command string) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "-c", command)
	bash.Dir, bash.Env = s.dir, s.environment
	text, err := bash.CombinedOutput()
	require.NotNil(t, bash.ProcessState, "starting bash: %v", err)
	return string(text), bash.ProcessState.ExitCode()
}

// splitSettings takes the settings before a command off it.
func splitSettings(command string) (settings []string, program string) {
	fields := strings.Fields(command)
	for len(fields) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(fields[0]) {
		settings, fields = append(settings, fields[0]), fields[1:]
	}
	return settings, strings.Join(fields, " ")
}

// serve starts a process and keeps it running until the end of the page.
func (s *shell) serve(t *testing.T, settings []string, program, ready string) {
	t.Helper()
	words := strings.Fields(program)
	log := new(programtest.Log)
	process, err := childprocess.Start(childprocess.Command{
		Path: filepath.Join(filepath.Dir(s.Programs.Worker), words[0]), Args: words[1:],
		Env: slices.Concat(s.environment, []string{"SPOOL_DIR=" + s.T.TempDir()}, settings),
		Log: log, StopTimeout: time.Minute,
	})
	require.NoError(t, err)
	s.T.Cleanup(func() { require.NoError(s.T, process.Stop()) })
	require.Eventually(t, func() bool { return strings.Contains(log.String(), ready) }, commandTimeout, 50*time.Millisecond,
		"%s says in its log: %s", program, log)
}
