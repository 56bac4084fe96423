package deploytest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

func loadDemo(t *testing.T) project {
	t.Helper()
	return loadWithEnvFile(t, filepath.Join(root, "deploy", "demo.env"))
}

func TestDemoIsSeparateFromProduction(t *testing.T) {
	production := load(t, secrets())
	require.NotContains(t, production.Services, "cloud")
	demo := loadDemo(t)
	require.Contains(t, demo.Services, "cloud")
	require.NotEqual(t, production.Name, demo.Name, "the prefix of containers and volumes")
	for _, name := range ours {
		require.Len(t, demo.Services[name].EnvFiles, 1)
		require.Equal(t, "demo.env", filepath.Base(demo.Services[name].EnvFiles[0].Path), "not production's settings")
		require.False(t, demo.Services[name].EnvFiles[0].Required)
	}
	require.Contains(t, demo.Services["worker"].Environment.set()["WEBSCRAPER_API_BASE_URI"], "http://cloud:")
}

func TestDemoSetsOnlyVariablesThatAreRead(t *testing.T) {
	variables := readAs[map[string]string](t, "dotenv", filepath.Join(root, "deploy", "demo.env"))
	read := []string{"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "SETTINGS_FILE"}
	for _, program := range []string{"worker", "starter"} {
		read = slices.AppendSeq(read, maps.Keys(settings(t, program)))
	}
	require.Subset(t, read, slices.Collect(maps.Keys(variables)))
}

// Does what docker compose would, without Docker: runs our programs with the file's
// commands, settings and order, on the test's servers.
func TestDemoImportsAJobWithOneCurl(t *testing.T) {
	c := newComposed(t, loadDemo(t))
	c.start("cloud") // with all its dependencies
	require.ElementsMatch(t, []string{"setup", "worker", "starter", "cloud"}, slices.Collect(maps.Keys(c.processes)))

	c.waitFor("the cloud to listen", func() bool {
		connection, err := net.Dial("tcp", c.here.Replace("127.0.0.1:8090"))
		return err == nil && connection.Close() == nil
	}, c.log.String)

	guide := guideSection(t, "The demo")
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	answer := c.shell(oneLine(t, guide, "curl "))
	require.Contains(t, answer, `"success":true`)

	_, query, _ := strings.Cut(oneLine(t, guide, "docker compose --env-file deploy/demo.env exec postgresql psql "), "'")
	query = strings.TrimSuffix(query, "'")
	type row struct {
		ID      int64  `db:"scrapingjob_id"`
		Sitemap string `db:"sitemap_name"`
		Records int64  `db:"count"`
	}
	want := []row{{1000, "laptops", 20}, {1001, "laptops", 20}, {1002, "books", 5_000}, {1003, "whole-shop", 200_000}, {1004, "laptops", 20}}
	var have []row
	c.waitFor("the records", func() bool {
		have = nil
		require.NoError(t, c.db.Select(&have, query))
		return slices.Equal(have, want)
	}, func() string { return fmt.Sprint(have) })

	files, err := filepath.Glob(filepath.Join(c.dir, "archive", "scrapingjobs", "1004", "*.zst"))
	require.NoError(t, err)
	require.Len(t, files, 1, "the archive of the job")
	c.waitFor("the image's own health check, for the starter", func() bool {
		return c.command([]string{"/worker", "healthcheck"}, map[string]string{"HEALTH_ADDRESS": ":8080"}).Run() == nil
	}, c.log.String)
	for _, command := range execCommands(guideText(t)) {
		if service := command[0]; slices.Contains(ours, service) {
			output, err := c.in(service, command[1:]).CombinedOutput()
			require.NoError(t, err, "%q: %s", command, output)
		}
	}
	require.NotContains(t, c.log.String(), "demo-api-token")
	require.NotContains(t, c.log.String(), "demo-webhook-token")
}

// composed runs our services of a project as processes.
type composed struct {
	*containers
	project   project
	processes map[string]*childprocess.Process
}

func newComposed(t *testing.T, project project) *composed {
	worker := project.Services["worker"]
	volumes := map[string]string{}
	for _, volume := range worker.Volumes {
		volumes[volume.Target] = volume.Source
	}
	environment := worker.Environment.set()
	return &composed{
		containers: newContainers(t, environment["TEMPORAL_ADDRESS"], environment["DATABASE_URL"], []string{"starter", "cloud"}, volumes),
		project:    project,
		processes:  map[string]*childprocess.Process{},
	}
}

// start starts a service after its dependencies meet their conditions. Servers that are
// not ours run already.
func (c *composed) start(name string) {
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
		case healthy:
			c.waitFor(dependency+" to be healthy", func() bool { return c.healthy(dependency) }, c.log.String)
		case completedSuccessfully:
			require.NoError(c.t, c.processes[dependency].Wait())
		}
	}
	c.processes[name] = c.run(c.in(name, service.Command), service.Restart != neverRestart)
}

// in returns a command in a service's container.
func (c *composed) in(service string, command []string) *exec.Cmd {
	c.t.Helper()
	return c.command(command, c.project.Services[service].Environment.set())
}

// healthy runs the service's health check.
func (c *composed) healthy(service string) bool {
	c.t.Helper()
	requireRunning(c.t, c.processes[service])
	return c.in(service, c.project.Services[service].HealthCheck.Test[1:]).Run() == nil
}

// shell runs a line of the documentation on the host, and returns its output.
func (c *composed) shell(line string) string {
	c.t.Helper()
	command := exec.Command("sh", "-euc", c.here.Replace(line))
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(c.t, err, line)
	return string(output)
}
