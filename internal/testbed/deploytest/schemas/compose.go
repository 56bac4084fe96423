package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// composition is a compose file with a settings file or an environment.
type composition struct {
	File        string
	EnvFile     string
	Environment map[string]string
}

// readCompose reads the composition in a JSON file as docker compose does: unknown keys and
// dangling references are errors.
func readCompose(path string) (*types.Project, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c composition
	if err := json.Unmarshal(content, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	folder := filepath.Dir(c.File)
	if c.EnvFile == "" {
		return loader.LoadWithContext(context.Background(), types.ConfigDetails{
			WorkingDir:  folder,
			ConfigFiles: []types.ConfigFile{{Filename: c.File}},
			Environment: c.Environment,
		})
	}
	options, err := cli.NewProjectOptions([]string{c.File},
		cli.WithWorkingDirectory(folder), cli.WithEnvFiles(c.EnvFile), cli.WithDotEnv, cli.WithDefaultProfiles())
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// readDotenv reads a settings file as docker compose does.
func readDotenv(path string) (map[string]string, error) { return dotenv.Read(path) }
