package deploytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webhook"
)

// object has the fields of a Kubernetes object that these tests read. Another test
// validates the schema.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data map[string]string // of a ConfigMap
	Spec struct {
		Template struct{ Spec podSpec }
		Rules    []struct { // of an Ingress
			HTTP struct{ Paths []struct{ Path string } }
		}
		Egress []struct{ Ports []struct{ Port any } } // of a NetworkPolicy
	}
}

type podSpec struct {
	TerminationGracePeriodSeconds int
	AutomountServiceAccountToken  *bool
	EnableServiceLinks            *bool
	SecurityContext               struct{ RunAsUser int }
	InitContainers, Containers    []container
	Volumes                       []struct {
		Secret *struct{ Items []struct{ Key string } }
	}
}

type container struct {
	Name, Image  string
	Command      []string
	Env          []variable
	EnvFrom      []struct{ ConfigMapRef *struct{ Name string } }
	Ports        []port
	VolumeMounts []struct{ MountPath string }
	Lifecycle    struct {
		PreStop struct{ Sleep struct{ Seconds int } }
	}
	StartupProbe, LivenessProbe, ReadinessProbe *probe
	SecurityContext                             struct{ ReadOnlyRootFilesystem bool }
}

type variable struct {
	Name, Value string
	ValueFrom   *struct {
		SecretKeyRef *struct {
			Name, Key string
			Optional  bool
		}
	}
}

type port struct {
	Name          string
	ContainerPort int
}

type probe struct {
	HTTPGet        struct{ Path, Port string }
	TimeoutSeconds int
}

func (c container) value(t *testing.T, name string) string {
	t.Helper()
	i := slices.IndexFunc(c.Env, func(v variable) bool { return v.Name == name })
	require.GreaterOrEqual(t, i, 0, "%s of %s", name, c.Name)
	return c.Env[i].Value
}

// portAddress returns where the container listens on a port.
func (c container) portAddress(name string) string {
	i := slices.IndexFunc(c.Ports, func(p port) bool { return p.Name == name })
	return ":" + strconv.Itoa(c.Ports[i].ContainerPort)
}

func manifests(t *testing.T) (all []object) {
	t.Helper()
	read, problems, ok := readBySchema(t, "kubernetes", kubernetes)
	require.True(t, ok, problems)
	require.NoError(t, json.Unmarshal(read, &all))
	return all
}

// workloads returns the objects that run our programs, by kind/name as in kubectl.
func workloads(t *testing.T) map[string]podSpec {
	t.Helper()
	all := map[string]podSpec{}
	for _, o := range manifests(t) {
		if len(o.Spec.Template.Spec.Containers) > 0 {
			all[strings.ToLower(o.Kind)+"/"+o.Metadata.Name] = o.Spec.Template.Spec
		}
	}
	require.ElementsMatch(t, []string{"job/scrapehaul-setup", "statefulset/scrapehaul-worker", "deployment/scrapehaul-starter"}, slices.Collect(maps.Keys(all)))
	return all
}

func TestManifestsRunCommandsThatExist(t *testing.T) {
	var commands []string
	for _, pod := range workloads(t) {
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			requireCommand(t, c.Command)
			commands = append(commands, strings.Join(c.Command, " "))
		}
	}
	require.ElementsMatch(t, []string{"/worker migrate", "/starter setup", "/worker run", "/starter serve"}, commands)
}

// secretSettings are never in a manifest.
var secretSettings = []string{
	"WEBSCRAPER_API_TOKEN", "WEBSCRAPER_API_TOKENS", "DATABASE_URL", "WEBHOOK_TOKENS", "WEBHOOK_SIGNATURE_SECRET",
	"STATUS_PAGE_USER", "STATUS_PAGE_PASSWORD", "TEMPORAL_API_KEY", "PUBLISHED_WEBHOOK_URL", "PUBLISHED_WEBHOOK_SECRET",
}

func TestManifestsSetOnlyVariablesThatOurProgramsRead(t *testing.T) {
	var anyProgram []string
	for _, pod := range workloads(t) {
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			reads := slices.Concat(slices.Collect(maps.Keys(settings(t, strings.TrimPrefix(c.Command[0], "/")))), temporalVariables())
			anyProgram = append(anyProgram, reads...)
			for _, v := range c.Env {
				require.Contains(t, reads, v.Name, c.Name)
				if slices.Contains(secretSettings, v.Name) {
					require.Empty(t, v.Value, "%s of %s", v.Name, c.Name)
					require.Equal(t, "scrapehaul", v.ValueFrom.SecretKeyRef.Name)
					require.Equal(t, v.Name, v.ValueFrom.SecretKeyRef.Key, "the secret is made from a file of settings")
				}
			}
		}
	}
	for _, o := range manifests(t) {
		require.NotEqual(t, "Secret", o.Kind)
		for name := range o.Data {
			require.Contains(t, anyProgram, name)
			require.NotContains(t, secretSettings, name)
		}
	}
}

// The worker gets the account's token, the starter the webhook's tokens. A file may
// replace either.
func TestManifestsGiveSecretsOnlyWhereNeeded(t *testing.T) {
	have := map[string][]string{}
	for _, pod := range workloads(t) {
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, v := range c.Env {
				if v.ValueFrom != nil && !v.ValueFrom.SecretKeyRef.Optional {
					have[c.Name] = append(have[c.Name], v.Name)
				}
			}
		}
	}
	require.Equal(t, map[string][]string{
		"migrate": {"DATABASE_URL"},
		"worker":  {"DATABASE_URL"},
		"starter": {"DATABASE_URL"},
	}, have)
	tokens := map[string][]string{}
	for name, pod := range workloads(t) {
		for _, volume := range pod.Volumes {
			if volume.Secret != nil {
				for _, item := range volume.Secret.Items {
					tokens[name] = append(tokens[name], item.Key)
				}
			}
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			for _, v := range c.Env {
				if slices.Contains([]string{"WEBSCRAPER_API_TOKEN", "WEBHOOK_TOKENS"}, v.Name) {
					tokens[name] = append(tokens[name], v.Name)
				}
			}
		}
	}
	require.Equal(t, map[string][]string{
		"statefulset/scrapehaul-worker": {"WEBSCRAPER_API_TOKENS", "WEBSCRAPER_API_TOKEN"},
		"deployment/scrapehaul-starter": {"WEBHOOK_TOKENS", "WEBHOOK_TOKENS"},
	}, tokens)
}

func TestManifestsConfineOurProcesses(t *testing.T) {
	images := map[string]bool{}
	for name, pod := range workloads(t) {
		require.Equal(t, 65532, pod.SecurityContext.RunAsUser, "the user of the image")
		require.False(t, *pod.AutomountServiceAccountToken, name)
		require.False(t, *pod.EnableServiceLinks, "%s: they would set TEMPORAL_… variables", name)
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			require.True(t, c.SecurityContext.ReadOnlyRootFilesystem, c.Name)
			images[c.Image] = true
		}
	}
	require.Len(t, images, 1)
}

func TestManifestsProbeWhatTheProcessesServe(t *testing.T) {
	all := workloads(t)
	for name, served := range map[string][]string{
		"statefulset/scrapehaul-worker": {"HEALTH_ADDRESS"},
		"deployment/scrapehaul-starter": {"LISTEN_ADDRESS", "METRICS_ADDRESS"},
	} {
		c := all[name].Containers[0]
		var have, want []string
		for _, port := range c.Ports {
			have = append(have, ":"+strconv.Itoa(port.ContainerPort))
		}
		for _, setting := range served {
			want = append(want, c.value(t, setting))
		}
		require.Equal(t, want, have, name)
		require.Equal(t, "/healthz", c.StartupProbe.HTTPGet.Path)
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path, "a restart does not bring Temporal back")
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		require.Greater(t, time.Duration(c.ReadinessProbe.TimeoutSeconds)*time.Second, program.HealthTimeout, name)
	}
	worker := all["statefulset/scrapehaul-worker"].Containers[0]
	require.Equal(t, worker.value(t, "SPOOL_DIR"), worker.VolumeMounts[0].MountPath)
	for _, o := range manifests(t) {
		if o.Kind == "Ingress" {
			require.Equal(t, webhook.Path, o.Spec.Rules[0].HTTP.Paths[0].Path)
		}
	}
}

func TestManifestsGiveProcessesTimeToStop(t *testing.T) {
	all := workloads(t)
	grace := func(name string) time.Duration {
		return time.Duration(all[name].TerminationGracePeriodSeconds) * time.Second
	}
	timeout, err := time.ParseDuration(all["statefulset/scrapehaul-worker"].Containers[0].value(t, "WORKER_STOP_TIMEOUT"))
	require.NoError(t, err)
	require.Greater(t, grace("statefulset/scrapehaul-worker"), timeout+healthServerStop)

	preStop := all["deployment/scrapehaul-starter"].Containers[0].Lifecycle.PreStop.Sleep.Seconds
	require.Positive(t, preStop)
	require.Greater(t, grace("deployment/scrapehaul-starter"), time.Duration(preStop)*time.Second+healthServerStop)
}

func TestNetworkPoliciesLetEveryProcessReachItsServers(t *testing.T) {
	reached := map[string][]string{}
	var temporal string
	for _, o := range manifests(t) {
		if o.Kind == "NetworkPolicy" {
			for _, rule := range o.Spec.Egress {
				for _, port := range rule.Ports {
					reached[o.Metadata.Name] = append(reached[o.Metadata.Name], fmt.Sprint(port.Port))
				}
			}
		}
		if address := o.Data["TEMPORAL_ADDRESS"]; address != "" {
			_, temporal, _ = strings.Cut(address, ":")
		}
	}
	for name := range workloads(t) {
		_, name, _ = strings.Cut(name, "/")
		require.Subset(t, reached[name], []string{"53", temporal, "5432"}, name)
	}
	require.Contains(t, reached["scrapehaul-worker"], "443")
}
