// This program reads files that deploy and watch scrapehaul as those do that read them:
// Docker a Dockerfile, docker compose its file and one of settings, Kubernetes manifests,
// Prometheus expressions and metrics. It is a module of
// its own, so that nobody who embeds scrapehaul gets their code; a test of
// deploytest runs it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes what was read as JSON. The error names everything that is wrong.
func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: schemas dockerfile|compose|dotenv|promql|metrics FILE | kubernetes FOLDER")
	}
	var read any
	var err error
	switch what, path := args[0], args[1]; what {
	case "dockerfile":
		read, err = readDockerfile(path)
	case "kubernetes":
		read, err = readManifests(path)
	case "compose":
		read, err = readCompose(path)
	case "dotenv":
		read, err = readDotenv(path)
	case "promql":
		read, err = readPromQL(path)
	case "metrics":
		read, err = readMetrics(path)
	default:
		err = fmt.Errorf("schemas of what: %q", what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(read)
}
