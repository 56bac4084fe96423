package deploytest

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/contrib/envconfig"
)

const root = "../.."

// ours are the services that run our programs, each from the folder of that name.
var ours = []string{"starter", "worker"}

func secrets() types.Mapping {
	return types.Mapping{"WEBSCRAPER_API_TOKEN": "token-of-the-account", "WEBHOOK_TOKENS": "secret-in-the-url"}
}

// load reads the file as docker compose does: unknown keys and references to
// what does not exist are errors.
func load(ctx context.Context, environment types.Mapping) (*types.Project, error) {
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml")}},
		Environment: environment,
	})
}

func loadServices(t *testing.T) types.Services {
	t.Helper()
	project, err := load(t.Context(), secrets())
	require.NoError(t, err)
	return project.Services
}

func TestComposeHasTheWholeSystem(t *testing.T) {
	require.Subset(t, slices.Collect(maps.Keys(loadServices(t))),
		[]string{"postgresql", "temporal", "temporal-ui", "worker", "starter"})
}

func TestComposeAsksForTheSecretsItNeeds(t *testing.T) {
	for name := range secrets() {
		without := secrets()
		delete(without, name)
		_, err := load(t.Context(), without)
		require.ErrorContains(t, err, name)

		without[name] = ""
		_, err = load(t.Context(), without)
		require.ErrorContains(t, err, name, "empty")
	}
}

func TestComposeHandsSettingsOn(t *testing.T) {
	environment := secrets()
	environment["HOLD_BEFORE_DELETE"] = "never"
	project, err := load(t.Context(), environment)
	require.NoError(t, err)

	worker := project.Services["worker"].Environment.ToMapping()
	starter := project.Services["starter"].Environment.ToMapping()
	require.Equal(t, "token-of-the-account", worker["WEBSCRAPER_API_TOKEN"])
	require.Equal(t, "secret-in-the-url", starter["WEBHOOK_TOKENS"])
	require.Equal(t, "never", starter["HOLD_BEFORE_DELETE"])
	for _, name := range []string{"TASK_QUEUE", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"} {
		require.NotEmpty(t, worker[name])
		require.Equal(t, worker[name], starter[name], "%s of worker and starter", name)
	}
}

func TestComposeWaitsOnlyForWhatHappens(t *testing.T) {
	services := loadServices(t)
	for name, service := range services {
		for target, dependency := range service.DependsOn {
			awaited, exists := services[target]
			require.True(t, exists, "%s depends on %s", name, target)
			switch dependency.Condition {
			case types.ServiceConditionHealthy:
				require.NotNil(t, awaited.HealthCheck, "%s waits for the health of %s", name, target)
				require.NotEmpty(t, awaited.HealthCheck.Test)
			case types.ServiceConditionCompletedSuccessfully:
				require.Empty(t, awaited.Restart, "%s waits for the end of %s", name, target)
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

func TestComposePublishesPortsToThisMachineOnly(t *testing.T) {
	for name, service := range loadServices(t) {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "port %s of %s", port.Published, name)
		}
	}
}

func TestComposeConfinesOurServices(t *testing.T) {
	services := loadServices(t)
	for _, name := range ours {
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
		read := slices.Concat(settings(t, name), temporalVariables())
		require.Subset(t, read, slices.Collect(maps.Keys(services[name].Environment)), name)
	}
}

// settings are the variables that a program's flags name, those it shares with
// the other included: `env:"SPOOL_DIR"`.
func settings(t *testing.T, program string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, program, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	shared, err := filepath.Glob(filepath.Join(root, "internal", "process", "*.go"))
	require.NoError(t, err)
	var names []string
	for _, file := range slices.Concat(files, shared) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			if field, ok := node.(*ast.Field); ok && field.Tag != nil {
				tag, err := strconv.Unquote(field.Tag.Value)
				require.NoError(t, err)
				if name := reflect.StructTag(tag).Get("env"); name != "" {
					names = append(names, name)
				}
			}
			return true
		})
	}
	return names
}

// temporalVariables are those that the Temporal SDK reads for a client.
func temporalVariables() []string {
	var asked lookups
	// No variable is set, so there is nothing that could be wrong with them.
	_, _ = envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: &asked})
	return asked
}

// lookups is an empty environment that remembers what it was asked for.
type lookups []string

func (*lookups) Environ() []string { return nil }

func (l *lookups) LookupEnv(name string) (string, bool) {
	*l = append(*l, name)
	return "", false
}

func TestDockerfileBuildsWhatComposeRuns(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	services := loadServices(t)
	for _, name := range ours {
		require.Contains(t, string(dockerfile), " ./"+name, "package built")
		require.Contains(t, string(dockerfile), " /out/"+name, "program copied")
		require.Equal(t, "/"+name, services[name].Command[0])
		require.Equal(t, []string{"CMD", "/" + name, "healthcheck"}, []string(services[name].HealthCheck.Test))
	}
	for _, volume := range services["worker"].Volumes {
		require.Contains(t, string(dockerfile), " "+volume.Target+"\n", "a volume begins with the owner of its folder in the image")
	}
	require.Equal(t, services["worker"].Volumes[0].Target, *services["worker"].Environment["SPOOL_DIR"])
}
