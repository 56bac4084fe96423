package deploytest

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The linker ignores -X of a variable that does not exist.
func TestReleasesAndImagesSetTheVersionThatIsPrinted(t *testing.T) {
	declared := read(t, "internal/program/version.go")
	require.Contains(t, declared, "\nvar version, commit, date string\n")
	require.Equal(t, []string{"commit", "date", "version"}, linked(read(t, "Dockerfile")))
	require.Equal(t, []string{"commit", "date", "version"}, linked(read(t, ".goreleaser.yaml")))
}

// linked are the variables of internal/program that a text has the linker set.
func linked(text string) (names []string) {
	text = strings.ReplaceAll(text, "$program.", "github.com/scrapehaul/scrapehaul/internal/program.")
	for _, found := range regexp.MustCompile(`-X github\.com/scrapehaul/scrapehaul/internal/program\.(\w+)=`).FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func TestReleaseHasBothProgramsWithEveryStore(t *testing.T) {
	var release struct {
		Builds []struct {
			Binary, Main string
			Tags         []string
			GOOS, GOArch []string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".goreleaser.yaml")), &release))
	require.Len(t, release.Builds, 2)
	for i, program := range []string{"worker", "starter"} {
		build := release.Builds[i]
		require.Equal(t, "scrapehaul-"+program, build.Binary)
		require.Equal(t, "./"+program, build.Main)
		require.ElementsMatch(t, []string{"linux", "darwin", "windows"}, build.GOOS)
		require.ElementsMatch(t, []string{"amd64", "arm64"}, build.GOArch)
	}
	files, err := filepath.Glob(filepath.Join(root, "worker", "archive_*.go"))
	require.NoError(t, err)
	var tags []string
	for _, file := range files {
		if found := regexp.MustCompile(`(?m)^//go:build (\w+)$`).FindStringSubmatch(read(t, "worker/"+filepath.Base(file))); found != nil {
			tags = append(tags, found[1])
		}
	}
	require.ElementsMatch(t, tags, release.Builds[0].Tags)
}

func TestDependabotKnowsEveryModuleAndPackage(t *testing.T) {
	var dependabot struct {
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directories []string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".github/dependabot.yml")), &dependabot))
	known := map[string][]string{}
	for _, update := range dependabot.Updates {
		known[update.Ecosystem] = append(known[update.Ecosystem], update.Directories...)
	}
	for ecosystem, file := range map[string]string{"gomod": "go.mod", "npm": "package.json"} {
		require.ElementsMatch(t, foldersWith(t, file), known[ecosystem], ecosystem)
	}
}

// foldersWith are the folders of the repository that have such a file, from its root: "/bench".
func foldersWith(t *testing.T, name string) (folders []string) {
	t.Helper()
	list := exec.Command("git", "ls-files", ":(glob)**/"+name)
	list.Dir = root
	output, err := list.Output()
	if err != nil {
		t.Skipf("git ls-files: %v", err) // not a clone
	}
	for file := range strings.FieldsSeq(string(output)) {
		folders = append(folders, path.Clean("/"+path.Dir(file)))
	}
	return folders
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(content)
}
