package doctest

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/scrapehaul/scrapehaul"

// embeddable are the packages that hosts import, programs those of the processes.
var (
	embeddable = []string{".", "./activities", "./archive", "./mapping", "./postgres", "./sink", "./statuspage", "./webhook", "./webscraper", "./workflows"}
	programs   = []string{"./worker", "./starter"}
)

var requirement = regexp.MustCompile(`^(?:require )?\t?([a-z]\S*\.\S+) v\S+$`)

// requirements are those that go.mod has without "// indirect".
func requirements(t *testing.T) (modules []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if found := requirement.FindStringSubmatch(strings.TrimRight(line, "\n")); found != nil {
			modules = append(modules, found[1])
		}
	}
	require.NotEmpty(t, modules)
	return modules
}

// imports are all imports of our own packages among the dependencies of the given
// packages.
func imports(t *testing.T, packages []string) map[string]bool {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`}, packages...)...)
	list.Dir = root
	output, err := list.Output()
	require.NoError(t, err)
	all := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] != module && !strings.HasPrefix(fields[0], module+"/") {
			continue
		}
		for _, each := range fields[1:] {
			all[each] = true
		}
	}
	return all
}

// uses reports whether one of the imports belongs to the module itself, not to a
// nested one.
func uses(imports map[string]bool, of string, modules []string) bool {
	for each := range imports {
		longest := ""
		for _, m := range modules {
			if (each == m || strings.HasPrefix(each, m+"/")) && len(m) > len(longest) {
				longest = m
			}
		}
		if longest == of {
			return true
		}
	}
	return false
}

func TestEveryDependencyIsListedWithItsReason(t *testing.T) {
	modules := requirements(t)
	byHosts, byPrograms := imports(t, embeddable), imports(t, programs)
	var listed []string
	for _, row := range onePage(t, "docs/architecture.md").tables(t, "Dependencies") {
		require.Len(t, row, 3)
		require.Len(t, names(row[0]), 1)
		name := names(row[0])[0]
		listed = append(listed, name)
		require.NotEmpty(t, row[2], "what %s is for", name)
		in := "tests"
		switch {
		case uses(byHosts, name, modules):
			in = "embedded"
		case uses(byPrograms, name, modules):
			in = "programs"
		}
		require.Equal(t, in, row[1], name)
	}
	require.Equal(t, modules, listed, "the list and go.mod")
}
