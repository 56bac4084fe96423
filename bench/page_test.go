package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

// performancePage is a copy of the page that is published.
func performancePage(t *testing.T) (file, text string) {
	t.Helper()
	published, err := os.ReadFile("../docs/performance.md")
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "performance.md")
	require.NoError(t, os.WriteFile(file, published, 0o600))
	return file, string(published)
}

func TestFiguresOfThePageAreThoseOfARun(t *testing.T) {
	fulltier.Needs(t, "a PostgreSQL server")
	file, before := performancePage(t)
	code, out, problems := programtest.Run("bench", new(commands), "--page", file, "--rounds", "1", "--records", "2000", "download")
	require.Equal(t, program.ExitOK, code, problems)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	after := string(text)
	require.Contains(t, after, "### download\n\n```\n"+strings.TrimLeft(out, "\n")+"```\n", "what was printed")
	figures := regexp.MustCompile("(?s)### download.*?\n```\n.*?```\n")
	require.Equal(t, figures.ReplaceAllString(before, ""), figures.ReplaceAllString(after, ""), "the rest stays as it is")
}

func TestPageWithoutAPlaceForThePartIsRefusedBeforeMeasuring(t *testing.T) {
	file, before := performancePage(t)
	code, out, problems := programtest.Run("bench", new(commands), "--page", file, "scale")
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Contains(t, problems, `has no heading "### scale"`)
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, string(after))
}
