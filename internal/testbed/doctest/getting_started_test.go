package doctest

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const gettingStarted = "docs/getting-started.md"

// The page from top to bottom, in a shell with the page's own .env, on servers of the
// test's: a fake cloud, and a Temporal and a PostgreSQL on other ports.
func TestGettingStartedImportsAJob(t *testing.T) {
	_, superuser := postgrestest.NewServer(t)
	server, err := url.Parse(superuser)
	require.NoError(t, err)
	temporal := temporaltest.NewServer(t)
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{})
	cloud.AddJob(webscrapertest.Job{ID: exampleJob, SitemapName: "my-sitemap", Records: webscrapertest.Products(300, 1)})
	port, err := childprocess.FreePort()
	require.NoError(t, err)
	listen := "127.0.0.1:" + strconv.Itoa(port)

	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": temporal.HostPort, "WEBSCRAPER_API_BASE_URI": cloud.URL, "LISTEN_ADDRESS": listen,
		"PATH": os.Getenv("PATH") + string(filepath.ListSeparator) + postgresqlPrograms(t),
	})
	s := &shell{dir: t.TempDir(), environment: os.Environ()}
	for _, program := range []string{"psql", "curl", "openssl"} {
		if _, status := s.run(t, "command -v "+program); status != 0 {
			t.Skipf("%s is not on this machine", program)
		}
	}
	here := strings.NewReplacer(
		"go build -o ", fmt.Sprintf("go build -C %s -o %s/", absoluteRoot(t), s.dir),
		"sudo -u postgres psql ", "psql '"+superuser+"' ",
		// The test's superuser is called scrapehaul.
		"ROLE scrapehaul", "ROLE importer", "OWNER scrapehaul", "OWNER importer", "//scrapehaul:", "//importer:",
		"localhost:5432", server.Host, "127.0.0.1:8080", listen,
		"WEBSCRAPER_API_TOKEN=…", "WEBSCRAPER_API_TOKEN="+webscrapertest.DefaultToken,
	)
	const load = "set -a; . ./.env; set +a"
	known := map[string]bool{ // what the test does in its own way
		"git clone https://github.com/scrapehaul/scrapehaul": true, "cd scrapehaul": true, load: true,
		"temporal server start-dev --db-filename temporal.db": true,
	}
	outcomes := []string{"kept", "unchanged"} // of the import, and of the notification
	for _, b := range onePage(t, gettingStarted).blocks {
		if b.language == "ini" {
			require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".env"), []byte(here.Replace(b.text)), 0o600))
			continue
		}
		for _, command := range b.commands() {
			switch line := "[ ! -e .env ] || { " + load + "; }; " + here.Replace(command); {
			case known[command], strings.HasPrefix(command, "go run ./demo cloud "):
			case command == "bin/scrapehaul-worker run", command == "bin/scrapehaul-starter serve":
				s.leaveRunning(t, strings.Replace(line, "; bin/", "; exec bin/", 1))
			case command == "bin/scrapehaul-starter doctor": // Temporal takes a moment to list the worker
				s.runUntil(t, line, "ok")
			case strings.HasPrefix(command, "bin/scrapehaul-starter status "):
				require.NotEmpty(t, outcomes, "%s: asks for an import that the page does not start", command)
				s.runUntil(t, line, outcomes[0])
				outcomes = outcomes[1:]
			default:
				output, status := s.run(t, line)
				require.Zero(t, status, "%s:%d: %s: exit status\n%s", gettingStarted, b.line, command, output)
			}
		}
	}
	require.Empty(t, outcomes, "imports that the page starts")
	require.False(t, cloud.Deleted(exampleJob))
}

// runUntil repeats a line until it succeeds and prints what is wanted.
func (s *shell) runUntil(t *testing.T, line, wanted string) {
	t.Helper()
	output, status := s.run(t, line)
	for deadline := time.Now().Add(commandTimeout); status != 0 || !strings.Contains(output, wanted); output, status = s.run(t, line) {
		require.True(t, time.Now().Before(deadline), "%s: waited for %q\n%s", line, wanted, output)
		time.Sleep(200 * time.Millisecond)
	}
}

// leaveRunning starts a line in a terminal of its own, until the end of the test, and
// waits for what the page says that it logs.
func (s *shell) leaveRunning(t *testing.T, line string) {
	t.Helper()
	log := new(programtest.Log)
	process, err := childprocess.Start(childprocess.Command{
		Path: "/bin/sh", Args: []string{"-c", line}, Env: s.environment, Dir: s.dir, Log: log,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, process.Stop()) })
	require.Eventually(t, func() bool {
		return strings.Contains(log.String(), serving["worker run"]) || strings.Contains(log.String(), serving["starter serve"])
	}, commandTimeout, commandTimeout/1000, "%s logs: %s", line, log)
}
