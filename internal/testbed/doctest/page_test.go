package doctest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

// page is a file in Markdown.
type page struct {
	name   string // from the root: "docs/operations.md"
	blocks []block
	// headings are those of all levels, without the # signs.
	headings []string
	// prose is all lines outside blocks, at their positions: the others are empty.
	prose []string
}

// block is a fenced block.
type block struct {
	line     int // of the first fence
	language string
	text     string // without the indentation of the fence
}

// pages are all pages of the repository.
func pages(t *testing.T) (all []page) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*.md", "deploy/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			require.NoError(t, err)
			all = append(all, read(t, name))
		}
	}
	require.Greater(t, len(all), 8)
	return all
}

func onePage(t *testing.T, name string) page {
	t.Helper()
	return read(t, name)
}

var (
	fence   = regexp.MustCompile("^( *)```(\\S*)")
	heading = regexp.MustCompile(`^#{1,6} (.*)$`)
)

func read(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	p := page{name: filepath.ToSlash(name)}
	var open *block
	var indentation string
	for number, line := range strings.Split(string(bytes.TrimSuffix(text, []byte("\n"))), "\n") {
		delimiter := fence.FindStringSubmatch(line)
		prose := ""
		switch {
		case open != nil && delimiter != nil:
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indentation) + "\n"
		case delimiter != nil:
			indentation = delimiter[1]
			open = &block{line: number + 1, language: delimiter[2]}
		default:
			prose = line
			if found := heading.FindStringSubmatch(line); found != nil {
				p.headings = append(p.headings, found[1])
			}
		}
		p.prose = append(p.prose, prose)
	}
	require.Nil(t, open, "%s: a block has no end", name)
	return p
}

// tables returns the rows of all tables below a heading, up to the next heading
// of any level, with trimmed cells and without the rows of dashes.
func (p page) tables(t *testing.T, below string) (rows [][]string) {
	t.Helper()
	in := false
	for _, line := range p.prose {
		if found := heading.FindStringSubmatch(line); found != nil {
			in = found[1] == below
		}
		if !in || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		var cells []string
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		rows = append(rows, cells)
	}
	require.NotEmpty(t, rows, "%s has no table below %q", p.name, below)
	return rows[1:] // without the header
}

var quoted = regexp.MustCompile("`([^`]+)`")

// names returns what is in backquotes in a cell.
func names(cell string) (all []string) {
	for _, found := range quoted.FindAllStringSubmatch(cell, -1) {
		all = append(all, found[1])
	}
	return all
}

// kind is the first line below a page's title.
var kind = regexp.MustCompile(`^\*(Tutorial|How-to guide|Reference|Explanation)\.\* [A-Z].*[.:]$`)

func TestEveryPageSaysWhatItIsAndForWhom(t *testing.T) {
	for _, p := range pages(t) {
		if !strings.HasPrefix(p.name, "docs/") {
			continue
		}
		first := slices.IndexFunc(p.prose, func(line string) bool { return line != "" && line[0] != '#' && line[0] != '<' })
		require.Regexp(t, kind, p.prose[first], p.name)
	}
}

func TestFirstPageIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(bytes.Fields(text)), 700, "words of README.md")
}
