package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// blockBelow finds the block of figures below the heading of a part, as in
// docs/performance.md.
func blockBelow(part string) *regexp.Regexp {
	return regexp.MustCompile("(?m)(^### " + regexp.QuoteMeta(part) + "\n\n```\n)(?s:.*?)(^```$)")
}

// checkPage says whether the page has a block for each of the parts, before
// anything is measured.
func checkPage(file string, parts []string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !blockBelow(part).Match(text) {
			return fmt.Errorf("%s has no heading \"### %s\" with a block of figures below it", file, part)
		}
	}
	return nil
}

// writePage puts what was measured into the page, in place of the figures of
// those parts.
func writePage(file string, results []*result) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, r := range results {
		var tables bytes.Buffer
		r.print(&tables)
		figures := strings.TrimLeft(tables.String(), "\n")
		figures = strings.ReplaceAll(figures, "$", "$$")
		text = blockBelow(r.part).ReplaceAll(text, []byte("${1}"+figures+"${2}"))
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // a page for everybody
}
