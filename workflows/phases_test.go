package workflows

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// diagram renders phases as a mermaid state diagram.
func diagram() string {
	name := strings.NewReplacer(" ", "_", "-", "_")
	var text strings.Builder
	text.WriteString("```mermaid\nstateDiagram-v2\n")
	draw := func(from, to, when string) {
		fmt.Fprintf(&text, "  %s --> %s: %s\n", from, to, when)
	}
	for _, p := range phases() {
		if id := name.Replace(string(p.step)); id != string(p.step) {
			fmt.Fprintf(&text, "  state %q as %s\n", p.step, id)
		}
	}
	draw("[*]", string(StepDownload), "a signal")
	for _, p := range phases() {
		for _, t := range p.next {
			draw(name.Replace(string(p.step)), name.Replace(string(t.to)), t.when)
		}
		if p.step != StepNeedsAttention {
			draw(name.Replace(string(p.step)), name.Replace(string(StepNeedsAttention)), "a problem")
		}
	}
	draw(string(stepDone), string(StepDownload), "a signal arrived")
	draw(string(stepDone), "[*]", "no signal")
	text.WriteString("```\n")
	return text.String()
}

func TestStateDiagramInDocsMatchesPhases(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	require.NoError(t, err)
	_, from, _ := strings.Cut(string(page), "```mermaid\nstateDiagram")
	drawn, _, _ := strings.Cut(from, "```")
	require.Equal(t, diagram(), "```mermaid\nstateDiagram"+drawn+"```\n")
}
