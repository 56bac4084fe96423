package deploytest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func guideText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docs", "deployment.md"))
	require.NoError(t, err)
	return string(content)
}

// guideSection returns the section of the deployment guide under a heading.
func guideSection(t *testing.T, heading string) string {
	t.Helper()
	_, section, found := strings.Cut(guideText(t), "\n## "+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

var shellBlock = regexp.MustCompile("(?sm)^ *```sh\n(.*?)^ *```$")

// shellLines returns the commands in a text's blocks, with continued lines joined.
func shellLines(text string) (lines []string) {
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", "")) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// oneLine returns the one command of a text that starts with prefix.
func oneLine(t *testing.T, text, prefix string) (found string) {
	t.Helper()
	for _, line := range shellLines(text) {
		if strings.HasPrefix(line, prefix) {
			require.Empty(t, found, "there are several")
			found = line
		}
	}
	require.NotEmpty(t, found, "there is no command %q…", prefix)
	return found
}

// execCommands returns the commands of a text that run in a service of the compose file:
// the service, the program, its arguments.
func execCommands(text string) (commands [][]string) {
	for _, line := range shellLines(text) {
		if _, command, found := strings.Cut(line, " exec "); found && strings.HasPrefix(line, "docker compose ") {
			commands = append(commands, strings.Fields(command))
		}
	}
	return commands
}

// The commands that need Docker or a cluster only name what exists.
func TestGuideNamesWhatExists(t *testing.T) {
	lines := shellLines(guideText(t))
	require.Greater(t, len(lines), 25, "the commands were found")
	for _, line := range lines {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "docker compose "):
			requireComposeLine(t, fields[2:])
		case fields[0] == "kubectl":
			requireKubectlLine(t, line, fields[1:])
		case slices.Contains([]string{"curl", "openssl"}, fields[0]):
		case strings.HasPrefix(line, "docker build "), strings.HasPrefix(line, "docker push "):
			require.Contains(t, line, "/scrapehaul:v1")
		default:
			t.Errorf("no test checks %q", line)
		}
	}
}

// requireComposeLine requires that the settings file, the service and the command in it
// exist.
func requireComposeLine(t *testing.T, fields []string) {
	t.Helper()
	var read project
	if fields[0] == "--env-file" {
		read = loadWithEnvFile(t, filepath.Join(root, fields[1]))
		fields = fields[2:]
	} else {
		read = load(t, secrets())
	}
	command, rest := fields[0], fields[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "--") {
		if rest[0] == "--since" {
			rest = rest[1:]
		}
		rest = rest[1:]
	}
	switch command {
	case "exec", "run":
		require.Contains(t, read.Services, rest[0])
		if slices.Contains(ours, rest[0]) {
			requireCommand(t, rest[1:])
		}
	default:
		require.Contains(t, []string{"build", "down", "logs", "ps", "up"}, command)
		for _, service := range rest {
			require.Contains(t, read.Services, service)
		}
	}
}

var (
	kubectlObject    = regexp.MustCompile(`^(?:job|statefulset|deployment)/`)
	kubectlComponent = regexp.MustCompile(`app\.kubernetes\.io/component in \((.*?)\)`)
)

// requireKubectlLine requires that the files, objects and labels exist.
func requireKubectlLine(t *testing.T, line string, fields []string) {
	t.Helper()
	all := workloads(t)
	for i, field := range fields {
		switch {
		case field == "--kustomize":
			require.FileExists(t, filepath.Join(root, fields[i+1], "kustomization.yaml"))
		case field == "--filename" && fields[i+1] == "-": // the output of the previous command
		case field == "--filename":
			require.FileExists(t, filepath.Join(root, fields[i+1]))
		case field == "--namespace":
			require.True(t, slices.ContainsFunc(manifests(t), func(o object) bool { return o.Kind == "Namespace" && o.Metadata.Name == fields[i+1] }), line)
		case field == "job":
			require.Contains(t, all, "job/"+fields[i+1])
		case kubectlObject.MatchString(field):
			require.Contains(t, all, field)
		case field == "--":
			requireCommand(t, fields[i+1:])
			return
		}
	}
	if selected := kubectlComponent.FindStringSubmatch(line); selected != nil {
		for component := range strings.SplitSeq(selected[1], ", ") {
			require.True(t, slices.ContainsFunc(manifests(t), func(o object) bool {
				return o.Metadata.Labels["app.kubernetes.io/component"] == component
			}), component)
		}
	}
}
