package main

import (
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	columns, rows         = 110, 28
	charWidth, lineHeight = 8, 18 // pixels
	// A viewer waits no longer than longest for a line, reads each for perLine at
	// least, and what was typed, and the end, for longer.
	longest = 4 * time.Second
	perLine = 350 * time.Millisecond
	typed   = 3 * time.Second
	atEnd   = 8 * time.Second
)

var picture = template.Must(template.New("").Parse(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-label="The demo in a terminal">
<style>
rect { fill: #f6f8fa; stroke: #d0d7de }
text { fill: #1f2328; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }
.typed { fill: #0550ae; font-weight: bold }
@media (prefers-color-scheme: dark) {
  rect { fill: #0d1117; stroke: #30363d }
  text { fill: #e6edf3 }
  .typed { fill: #79c0ff }
}
#lines { transform: translateY({{.End}}px); animation: scroll {{.Seconds}}s step-end infinite }
@media (prefers-reduced-motion: reduce) { #lines { animation: none } }
@keyframes scroll {
{{range .Frames}}{{.Percent}}% { transform: translateY({{.Y}}px) }
{{end}}}
</style>
<rect x="0.5" y="0.5" width="{{.InnerWidth}}" height="{{.InnerHeight}}" rx="6"/>
<svg x="12" y="10" width="{{.TextWidth}}" height="{{.TextHeight}}"><g id="lines">
{{range .Lines}}<text{{if .Typed}} class="typed"{{end}} y="{{.Y}}">{{.Text}}</text>
{{end}}</g></svg>
</svg>
`))

// thisMachines is what is of interest only where the demo ran.
var thisMachines = regexp.MustCompile(`scrapehaul:\w+@|_demo_\w+\?sslmode=disable|-demo-\d+`)

type frame struct {
	Percent string
	Y       int
}

type textLine struct {
	Text  string
	Typed bool
	Y     int
}

// render writes an animated SVG in which the lines scroll by, as they were shown but for
// long waits: a terminal whose last line is the newest.
func render(out io.Writer, shown []line) error {
	var lines []textLine
	var starts []time.Duration // of lines
	var at time.Duration
	var before line
	for i, l := range shown {
		if i > 0 {
			at += min(max(l.at.Sub(before.at), perLine), longest)
		}
		if strings.HasPrefix(before.text, "$ ") {
			at += typed
		}
		before = l
		for _, part := range wrapped(thisMachines.ReplaceAllString(l.text, "…")) {
			lines = append(lines, textLine{part, strings.HasPrefix(l.text, "$ "), (len(lines)+1)*lineHeight - 5})
			starts = append(starts, at)
		}
	}
	total := at + atEnd
	var frames []frame
	offset := func(i int) int { return (rows - 1 - i) * lineHeight } // line i is the last that fits
	for i, start := range starts {
		next := frame{fmt.Sprintf("%.3f", 100*start.Seconds()/total.Seconds()), offset(i)}
		if n := len(frames); n > 0 && frames[n-1].Percent == next.Percent {
			frames = slices.Delete(frames, n-1, n)
		}
		frames = append(frames, next)
	}
	width, height := columns*charWidth, rows*lineHeight
	return picture.Execute(out, map[string]any{
		"Width": width + 24, "Height": height + 20, "InnerWidth": width + 23, "InnerHeight": height + 19,
		"TextWidth": width, "TextHeight": height, "End": offset(len(lines) - 1),
		"Seconds": fmt.Sprintf("%.1f", total.Seconds()), "Frames": frames, "Lines": lines,
	})
}

// wrapped is the text in lines as wide as the terminal.
func wrapped(text string) (lines []string) {
	for part := range slices.Chunk([]rune(text), columns) {
		lines = append(lines, string(part))
	}
	if len(lines) == 0 {
		return []string{""}
	}
	return lines
}
