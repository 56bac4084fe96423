package doctest

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	typed   = regexp.MustCompile("`(?:[A-Z_]+=\\S+ )*(starter|worker) ([a-z][a-z-]*)[^`]*`")
	capital = regexp.MustCompile(`(\w)([A-Z])`)
)

// subcommands are those of a program: the fields of its type commands.
func subcommands(t *testing.T, program string) (all []string) {
	t.Helper()
	for _, file := range sourceFiles(t, program) {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.TypeSpec)
			if !ok || spec.Name.Name != "commands" {
				return true
			}
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				for _, name := range field.Names {
					all = append(all, strings.ToLower(capital.ReplaceAllString(name.Name, "$1-$2")))
				}
			}
			return false
		})
	}
	require.NotEmpty(t, all, program)
	return all
}

func TestCommandsNamedInProseExist(t *testing.T) {
	known := map[string][]string{"starter": subcommands(t, "starter"), "worker": subcommands(t, "worker")}
	found := 0
	for _, p := range pages(t) {
		for number, line := range p.prose {
			for _, named := range typed.FindAllStringSubmatch(line, -1) {
				found++
				if !slices.Contains(known[named[1]], named[2]) {
					t.Errorf("%s:%d: %s has no command %s", p.name, number+1, named[1], named[2])
				}
			}
		}
	}
	require.NotZero(t, found)
}
