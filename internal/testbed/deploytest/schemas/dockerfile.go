package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stage is a target of a Dockerfile.
type stage struct {
	Name, Base string
}

// readDockerfile checks a Dockerfile as docker build --check does, and returns its stages.
func readDockerfile(path string) (stages []stage, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	parsed, err := parser.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var problems []error
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, location []parser.Range) {
		problems = append(problems, fmt.Errorf("%s: %s: %s (%v)", path, rule, message, location))
	}})
	read, _, err := instructions.Parse(parsed.AST, lint)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := map[string]bool{}
	for _, each := range read {
		for _, command := range each.Commands {
			if copied, ok := command.(*instructions.CopyCommand); ok && copied.From != "" && !names[copied.From] {
				problems = append(problems, fmt.Errorf("%s: COPY --from=%s: there is no such stage before", path, copied.From))
			}
		}
		names[each.Name] = true
		stages = append(stages, stage{Name: each.Name, Base: each.BaseName})
	}
	return stages, errors.Join(problems...)
}
