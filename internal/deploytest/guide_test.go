package deploytest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-shellwords"
	"github.com/stretchr/testify/require"
)

func guideText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docs", "deployment.md"))
	require.NoError(t, err)
	return string(content)
}

// guideSection is what stands in the deployment guide under a heading.
func guideSection(t *testing.T, heading string) string {
	t.Helper()
	_, section, found := strings.Cut(guideText(t), "\n## "+heading+"\n")
	require.True(t, found, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// shellLines are the commands of a text's fenced blocks, a continued line with
// its continuation.
func shellLines(text string) (lines []string) {
	for _, block := range strings.Split(text, "\n```sh\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```\n")
		for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", "")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// oneLine is the one command of a text that begins like this.
func oneLine(t *testing.T, text, beginning string) (found string) {
	t.Helper()
	for _, line := range shellLines(text) {
		if strings.HasPrefix(line, beginning) {
			require.Empty(t, found, "there are several")
			found = line
		}
	}
	require.NotEmpty(t, found, "there is no command %q…", beginning)
	return found
}

// words are the arguments of a command without its comment.
func words(t *testing.T, line string) []string {
	t.Helper()
	parsed, err := shellwords.Parse(line)
	require.NoError(t, err, line)
	return parsed
}

// execCommands are the commands of a text that run in a service of the compose
// file: the service, the program, its arguments.
func execCommands(t *testing.T, text string) (commands [][]string) {
	t.Helper()
	for _, line := range shellLines(text) {
		if _, command, found := strings.Cut(line, " exec "); found && strings.HasPrefix(line, "docker compose ") {
			commands = append(commands, words(t, command))
		}
	}
	return commands
}
