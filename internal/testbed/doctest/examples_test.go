package doctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Examples are consecutive lines of compiled files.
func TestExamplesAreCompiledCode(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"*.go", "*/*.go", "examples/*/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			sources = append(sources, string(text))
		}
	}
	blocks := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			blocks++
			found := false
			for _, source := range sources {
				found = found || strings.Contains("\n"+source, "\n"+b.text)
			}
			if !found {
				t.Errorf("%s:%d: no compiled file has this example:\n%s", p.name, b.line, b.text)
			}
		}
	}
	require.NotZero(t, blocks)
}
