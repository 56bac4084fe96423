package deploytest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/process/processtest"
	"github.com/scrapehaul/scrapehaul/internal/temporalserver/temporaltest"
)

// patience is for machines much slower than ours.
const patience = 3 * time.Minute

func loadDemo(t *testing.T) *types.Project {
	t.Helper()
	return loadWithEnvFile(t, filepath.Join(root, "deploy", "demo.env"))
}

func TestDemoIsApartFromProduction(t *testing.T) {
	production, err := load(t.Context(), secrets())
	require.NoError(t, err)
	require.NotContains(t, production.Services, "cloud")
	demo := loadDemo(t)
	require.Contains(t, demo.Services, "cloud")
	require.NotEqual(t, production.Name, demo.Name, "which containers and volumes are named for")
	for _, name := range ours {
		require.Len(t, demo.Services[name].EnvFiles, 1)
		require.Equal(t, "demo.env", filepath.Base(demo.Services[name].EnvFiles[0].Path), "not production's settings")
		require.False(t, bool(demo.Services[name].EnvFiles[0].Required))
	}
	require.Contains(t, demo.Services["worker"].Environment.ToMapping()["WEBSCRAPER_API_BASE_URI"], "http://cloud:")
}

// What docker compose would do, without Docker: our programs with the file's
// commands, settings and order, on servers of the test's.
func TestDemoImportsAJobWithOneCurl(t *testing.T) {
	c := newComposition(t, loadDemo(t))
	c.start("cloud") // and all that it depends on
	require.ElementsMatch(t, []string{"setup", "worker", "starter", "cloud"}, slices.Collect(maps.Keys(c.processes)))

	c.waitFor("the cloud to listen", func() bool {
		connection, err := net.Dial("tcp", c.here.Replace("127.0.0.1:8090"))
		return err == nil && connection.Close() == nil
	}, c.log.String)

	guide := guideSection(t, "The demo")
	answer := c.shell(oneLine(t, guide, "curl "))
	require.Contains(t, answer, `"success":true`)

	psql := words(t, oneLine(t, guide, "docker compose --env-file deploy/demo.env exec postgresql psql "))
	query := psql[len(psql)-1]
	var want [][]string
	for _, id := range []string{"1001|laptops|20", "1002|books|5000", "1003|whole-shop|200000", "1004|laptops|1000"} {
		want = append(want, strings.Split(id, "|"))
	}
	var have [][]string
	c.waitFor("the records", func() bool {
		have = c.query(query)
		return slices.EqualFunc(have, want, slices.Equal)
	}, func() string { return fmt.Sprint(have) })

	files, err := filepath.Glob(filepath.Join(c.dir, "archive", "scrapingjobs", "1004", "*.zst"))
	require.NoError(t, err)
	require.Len(t, files, 1, "the archive of the job")
	c.requireHealth()
	for _, command := range execCommands(t, guideText(t)) {
		if service := command[0]; slices.Contains(ours, service) {
			output, err := c.command(service, command[1:]).CombinedOutput()
			require.NoError(t, err, "%q: %s", command, output)
		}
	}
	require.NotContains(t, c.log.String(), "demo-api-token")
	require.NotContains(t, c.log.String(), "demo-webhook-token")
}

// composition runs our services of a project as processes.
type composition struct {
	t         *testing.T
	project   *types.Project
	dir       string // for volumes
	db        *sqlx.DB
	log       *processtest.Log
	processes map[string]*childprocess.Process
	// here translates the network and the folders of containers.
	here *strings.Replacer
}

func newComposition(t *testing.T, project *types.Project) *composition {
	c := &composition{t: t, project: project, dir: t.TempDir(), log: new(processtest.Log), processes: map[string]*childprocess.Process{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs:\n%s", c.log)
		}
	})
	database := postgrestest.NewDatabase(t)
	var err error
	c.db, err = sqlx.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.db.Close()) })

	translations := []string{
		"temporal:7233", temporaltest.NewServer(t).HostPort, // with the namespace default, as the file makes one
		*project.Services["worker"].Environment["DATABASE_URL"], database,
	}
	for _, port := range []string{"8080", "8081", "8082", "8090"} {
		free, err := childprocess.FreePort()
		require.NoError(t, err)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(free))
		for _, host := range []string{"starter", "cloud", "127.0.0.1", ""} {
			translations = append(translations, host+":"+port, address)
		}
	}
	for _, volume := range project.Services["worker"].Volumes {
		translations = append(translations, volume.Target, filepath.Join(c.dir, volume.Source))
	}
	c.here = strings.NewReplacer(translations...)
	return c
}

// start starts a service once those it depends on are as it wants them. The
// servers that are not ours run already.
func (c *composition) start(name string) {
	c.t.Helper()
	if _, started := c.processes[name]; started {
		return
	}
	service := c.project.Services[name]
	for _, dependency := range slices.Sorted(maps.Keys(service.DependsOn)) {
		if awaited := c.project.Services[dependency]; awaited.Build == nil {
			continue
		}
		c.start(dependency)
		switch condition := service.DependsOn[dependency].Condition; condition {
		case types.ServiceConditionHealthy:
			c.waitFor(dependency+" to be healthy", func() bool { return c.healthy(dependency) }, c.log.String)
		case types.ServiceConditionCompletedSuccessfully:
			require.NoError(c.t, c.processes[dependency].Wait())
		}
	}
	command := c.command(name, service.Command)
	started, err := childprocess.Start(childprocess.Command{
		Path: command.Path, Args: command.Args[1:], Env: command.Env, Log: c.log, StopTimeout: time.Minute,
	})
	require.NoError(c.t, err)
	c.processes[name] = started
	if service.Restart == types.RestartPolicyNo {
		return // it ends by itself
	}
	c.t.Cleanup(func() { require.NoError(c.t, started.Stop()) })
}

// command runs in a service's container, with its environment.
func (c *composition) command(service string, command []string) *exec.Cmd {
	c.t.Helper()
	prepared := exec.Command(programFile(c.t, command[0]))
	for _, argument := range command[1:] {
		prepared.Args = append(prepared.Args, c.here.Replace(argument))
	}
	prepared.Env = []string{"HOME=" + c.dir} // which Docker sets too
	for name, value := range c.project.Services[service].Environment.ToMapping() {
		prepared.Env = append(prepared.Env, name+"="+c.here.Replace(value))
	}
	return prepared
}

// healthy runs the service's health check.
func (c *composition) healthy(service string) bool {
	c.t.Helper()
	select {
	case <-c.processes[service].Done():
		require.NoError(c.t, c.processes[service].EndedByItself())
	default:
	}
	return c.command(service, c.project.Services[service].HealthCheck.Test[1:]).Run() == nil
}

func (c *composition) requireHealth() {
	c.t.Helper()
	for name := range c.processes {
		if c.project.Services[name].HealthCheck != nil {
			require.True(c.t, c.healthy(name), name)
		}
	}
}

// shell runs a line of the documentation on the host, and returns its output.
func (c *composition) shell(line string) string {
	c.t.Helper()
	command := exec.Command("sh", "-euc", c.here.Replace(line))
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(c.t, err, line)
	return string(output)
}

// query returns rows as psql shows them.
func (c *composition) query(statement string) (all [][]string) {
	c.t.Helper()
	rows, err := c.db.Queryx(statement)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, rows.Close()) }()
	for rows.Next() {
		values, err := rows.SliceScan()
		require.NoError(c.t, err)
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = fmt.Sprint(value)
		}
		all = append(all, row)
	}
	require.NoError(c.t, rows.Err())
	return all
}

func (c *composition) waitFor(what string, is func() bool, seen func() string) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(100 * time.Millisecond) {
		require.True(c.t, time.Now().Before(deadline), "waited %s for %s: %s", patience, what, seen())
	}
}
