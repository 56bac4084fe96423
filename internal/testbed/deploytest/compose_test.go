package deploytest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

// ours are the services that run our programs.
var ours = []string{"setup", "starter", "worker"}

// project has the fields of a compose file that the tests read.
type project struct {
	Name     string
	Services map[string]service
}

type service struct {
	Build *struct {
		Target string
		Args   map[string]*string
	}
	CapDrop   []string `json:"cap_drop"`
	Command   []string
	DependsOn map[string]struct{ Condition string } `json:"depends_on"`
	EnvFiles  []struct {
		Path     string
		Required bool
	} `json:"env_file"`
	Environment environment
	HealthCheck *struct{ Test []string }
	Image       string
	Ports       []struct {
		HostIP    string `json:"host_ip"`
		Published string
	}
	ReadOnly        bool `json:"read_only"`
	Restart         string
	SecurityOpt     []string `json:"security_opt"`
	StopGracePeriod string   `json:"stop_grace_period"`
	User            string
	Volumes         []struct{ Source, Target string }
}

// environment has null for a variable without a value.
type environment map[string]*string

// set returns the variables that have a value.
func (e environment) set() map[string]string {
	values := map[string]string{}
	for name, value := range e {
		if value != nil {
			values[name] = *value
		}
	}
	return values
}

// Conditions of depends_on, and a restart policy.
const (
	healthy               = "service_healthy"
	completedSuccessfully = "service_completed_successfully"
	neverRestart          = "no"
)

func programOf(s service) string { return strings.TrimPrefix(s.Command[0], "/") }

func secrets() map[string]string {
	return map[string]string{"WEBSCRAPER_API_TOKEN": "token-of-the-account", "WEBHOOK_TOKENS": "secret-in-the-url"}
}

// composition is the input of the schemas program for a compose file.
type composition struct {
	File, EnvFile string
	Environment   map[string]string
}

func (c composition) write(t *testing.T) (path string) {
	t.Helper()
	c.File = filepath.Join(root, "docker-compose.yml")
	content, err := json.Marshal(c)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "composition.json")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// given returns docker-compose.yml with an environment, without a settings file: the
// developer may have one.
func given(environment map[string]string) composition {
	environment = maps.Clone(environment)
	environment["SETTINGS_FILE"] = os.DevNull
	return composition{Environment: environment}
}

// load reads the file as docker compose does: unknown keys and dangling references are
// errors.
func load(t *testing.T, environment map[string]string) project {
	t.Helper()
	return readAs[project](t, "compose", given(environment).write(t))
}

// loadWithEnvFile reads the file as docker compose --env-file does.
func loadWithEnvFile(t *testing.T, path string) project {
	t.Helper()
	return readAs[project](t, "compose", composition{EnvFile: path}.write(t))
}

func loadServices(t *testing.T) map[string]service {
	t.Helper()
	return load(t, secrets()).Services
}

func TestComposeHasEveryService(t *testing.T) {
	require.Subset(t, slices.Collect(maps.Keys(loadServices(t))),
		[]string{"postgresql", "temporal", "temporal-ui", "setup", "worker", "starter"})
}

func TestComposeRequiresItsSecrets(t *testing.T) {
	for name := range secrets() {
		without := secrets()
		delete(without, name)
		_, problems, ok := readBySchema(t, "compose", given(without).write(t))
		require.False(t, ok)
		require.Contains(t, problems, name)

		without[name] = ""
		_, problems, ok = readBySchema(t, "compose", given(without).write(t))
		require.False(t, ok)
		require.Contains(t, problems, name, "empty")
	}
}

func TestComposePassesSettingsOn(t *testing.T) {
	environment := secrets()
	environment["HOLD_BEFORE_DELETE"] = "never"
	project := load(t, environment)

	worker := project.Services["worker"].Environment.set()
	starter := project.Services["starter"].Environment.set()
	require.Equal(t, "token-of-the-account", worker["WEBSCRAPER_API_TOKEN"])
	require.Equal(t, "secret-in-the-url", starter["WEBHOOK_TOKENS"])
	require.Equal(t, "never", starter["HOLD_BEFORE_DELETE"])
	for _, name := range []string{"TASK_QUEUE", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"} {
		require.NotEmpty(t, worker[name])
		require.Equal(t, worker[name], starter[name], "%s of worker and starter", name)
	}
}

// decided are the settings that the file itself sets.
var decided = map[string][]string{
	"worker":  {"DATABASE_URL", "HEALTH_ADDRESS", "SPOOL_DIR"},
	"starter": {"DATABASE_URL", "LISTEN_ADDRESS", "METRICS_ADDRESS", "WEBSCRAPER_API_TOKEN", "WEBSCRAPER_API_TOKENS"},
}

func TestComposePassesEverySettingOfTheSettingsFileOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.env")
	text := "SETTINGS_FILE=" + file + "\n"
	for name := range decided {
		for setting := range settings(t, name) {
			text += setting + "='given-$" + setting + "'\n" // quoted because of the dollar, as the guide says
		}
	}
	text += "OTEL_EXPORTER_OTLP_ENDPOINT=given-OTEL_EXPORTER_OTLP_ENDPOINT\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	services := loadWithEnvFile(t, file).Services
	for name, fixed := range decided {
		given := services[name].Environment.set()
		require.Equal(t, "given-OTEL_EXPORTER_OTLP_ENDPOINT", given["OTEL_EXPORTER_OTLP_ENDPOINT"])
		for setting := range settings(t, name) {
			if !slices.Contains(fixed, setting) {
				require.Equal(t, "given-$"+setting, given[setting], "%s of %s", setting, name)
			}
		}
	}
	for _, setting := range []string{"HOLD_BEFORE_DELETE", "RECONCILE_EVERY", "FILTER_SITEMAP_PREFIX", "TASK_QUEUE"} {
		require.Equal(t, "given-$"+setting, services["setup"].Environment.set()[setting], "as the starter's")
	}
	// The account's token and the receiver's secrets stay with the worker, the webhook's
	// secrets with the starter.
	for _, secret := range []string{"WEBSCRAPER_API_TOKEN", "WEBSCRAPER_API_TOKENS", "PUBLISHED_WEBHOOK_URL", "PUBLISHED_WEBHOOK_SECRET"} {
		require.Empty(t, services["starter"].Environment.set()[secret])
		require.Empty(t, services["setup"].Environment.set()[secret])
	}
	for _, secret := range []string{"WEBHOOK_TOKENS", "WEBHOOK_SIGNATURE_SECRET", "STATUS_PAGE_PASSWORD"} {
		require.Empty(t, services["worker"].Environment.set()[secret])
		require.Empty(t, services["setup"].Environment.set()[secret])
	}
}

func TestComposeConnectsToTheDatabaseItStarts(t *testing.T) {
	services := loadServices(t)
	server := services["postgresql"].Environment.set()
	for _, name := range []string{"worker", "starter"} {
		url := services[name].Environment.set()["DATABASE_URL"]
		require.Equal(t, "postgres://"+server["POSTGRES_USER"]+":"+server["POSTGRES_PASSWORD"]+"@postgresql:5432/"+server["POSTGRES_DB"]+"?sslmode=disable", url)
	}
}

func TestComposeGivesTheWorkerTimeToStop(t *testing.T) {
	timeout, err := time.ParseDuration(settings(t, "worker")["WORKER_STOP_TIMEOUT"])
	require.NoError(t, err)
	grace, err := time.ParseDuration(loadServices(t)["worker"].StopGracePeriod)
	require.NoError(t, err)
	require.Greater(t, grace, timeout+healthServerStop)
}

// healthServerStop is how long the worker waits for requests after finishing its batches.
const healthServerStop = 10 * time.Second

func TestComposeWaitsForPossibleConditionsOnly(t *testing.T) {
	services := loadDemo(t).Services
	for name, service := range services {
		for target, dependency := range service.DependsOn {
			awaited, exists := services[target]
			require.True(t, exists, "%s depends on %s", name, target)
			switch dependency.Condition {
			case healthy:
				require.NotNil(t, awaited.HealthCheck, "%s waits for the health of %s", name, target)
				require.NotEmpty(t, awaited.HealthCheck.Test)
			case completedSuccessfully:
				require.Contains(t, []string{"", neverRestart}, awaited.Restart, "%s waits for the end of %s", name, target)
			default:
				t.Errorf("%s depends on %s being %q", name, target, dependency.Condition)
			}
		}
	}
}

var pinned = regexp.MustCompile(`^[^:]+:\d+\.\d+[^:]*$`)

func TestComposePinsForeignImages(t *testing.T) {
	for name, service := range loadServices(t) {
		if slices.Contains(ours, name) {
			continue
		}
		require.Regexp(t, pinned, service.Image, name)
	}
}

func TestComposePublishesPortsOnLocalhostOnly(t *testing.T) {
	for name, service := range loadDemo(t).Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "port %s of %s", port.Published, name)
		}
	}
}

func TestComposeConfinesOurServices(t *testing.T) {
	services := loadDemo(t).Services
	for _, name := range append([]string{"cloud"}, ours...) {
		service := services[name]
		user, _, _ := strings.Cut(service.User, ":")
		id, err := strconv.Atoi(user)
		require.NoError(t, err)
		require.Positive(t, id, "%s runs as root", name)
		require.True(t, service.ReadOnly)
		require.Equal(t, []string{"ALL"}, service.CapDrop)
		require.Equal(t, []string{"no-new-privileges:true"}, service.SecurityOpt)
	}
}

func TestComposeSetsOnlyVariablesThatOurProgramsRead(t *testing.T) {
	services := loadServices(t)
	for _, name := range ours {
		read := slices.Concat(slices.Collect(maps.Keys(settings(t, programOf(services[name])))), temporalVariables())
		// The other programs' secrets are set to "".
		for variable, value := range services[name].Environment.set() {
			if value != "" {
				require.Contains(t, read, variable, name)
			}
		}
	}
}

func TestComposeRunsCommandsThatExist(t *testing.T) {
	services := loadDemo(t).Services
	for _, name := range append([]string{"cloud"}, ours...) {
		requireCommand(t, services[name].Command)
		if check := services[name].HealthCheck; check != nil {
			require.Equal(t, "CMD", check.Test[0], "there is no shell")
			requireCommand(t, check.Test[1:])
		}
	}
}

func TestDockerfileBuildsWhatComposeRuns(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	dockerfile := string(content)
	services := loadDemo(t).Services
	for _, name := range append([]string{"cloud"}, ours...) {
		service := services[name]
		require.Regexp(t, ` \./(internal/testbed/)?`+programOf(service)+`\b`, dockerfile, "package built")
		require.Contains(t, dockerfile, " /out/"+programOf(service), "program copied")
		require.Contains(t, dockerfile, " AS "+service.Build.Target+"\n", "target")
		for argument := range service.Build.Args {
			require.Contains(t, dockerfile, "\nARG "+argument+"=")
		}
		for _, volume := range service.Volumes {
			require.Contains(t, dockerfile, " "+volume.Target+"\n", "a new volume gets the owner of its folder in the image")
		}
	}
	worker := services["worker"]
	require.Equal(t, worker.Volumes[0].Target, *worker.Environment["SPOOL_DIR"])
	require.Equal(t, "file://"+worker.Volumes[1].Target, *worker.Environment["ARCHIVE_URL"], "of the demo")

	// The last target is the default of docker build, and its health check fits both
	// processes.
	_, image, _ := strings.Cut(dockerfile, " AS scrapehaul\n")
	require.NotContains(t, image, "\nFROM ")
	require.Contains(t, image, "\nENV HEALTH_ADDRESS="+settings(t, "starter")["LISTEN_ADDRESS"]+"\n")
	require.Contains(t, image, ` CMD ["/worker", "healthcheck"]`)
}

func TestSettingsFilesStayOutOfTheImage(t *testing.T) {
	for _, file := range []string{".dockerignore", ".gitignore"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.Contains(t, strings.Fields(string(content)), ".env", file)
	}
}
