package doctest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link       = regexp.MustCompile(`(?:\]\(|src(?:set)?=")([^)"\s]+)[)"]`)
	inlineCode = regexp.MustCompile("`[^`]*`")
	noSlug     = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// anchor returns the anchor of a heading on GitHub.
func anchor(heading string) string {
	return strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// links are the targets of a page's links within the repository.
func (p page) links() (targets []string) {
	for _, line := range p.prose {
		for _, found := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, ""), -1) {
			if !strings.Contains(found[1], "://") {
				targets = append(targets, found[1])
			}
		}
	}
	return targets
}

func TestLinksWork(t *testing.T) {
	for _, p := range pages(t) {
		for _, target := range p.links() {
			file, fragment, _ := strings.Cut(target, "#")
			name := p.name
			if file != "" {
				name = path.Join(path.Dir(p.name), file)
			}
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("%s: broken link to %s: no such file", p.name, target)
				continue
			}
			if fragment == "" {
				continue
			}
			found := false
			for _, each := range onePage(t, name).headings {
				found = found || anchor(each) == fragment
			}
			if !found {
				t.Errorf("%s: broken link to %s: no such heading", p.name, target)
			}
		}
	}
}

func TestEveryPageIsLinkedFromTheFirst(t *testing.T) {
	linked := map[string]bool{"README.md": true}
	for _, target := range onePage(t, "README.md").links() {
		file, _, _ := strings.Cut(target, "#")
		linked[file] = true
	}
	for _, p := range pages(t) {
		if path.Dir(p.name) == "docs" || path.Dir(p.name) == "." {
			require.True(t, linked[p.name], "README.md has no link to %s", p.name)
		}
	}
}
