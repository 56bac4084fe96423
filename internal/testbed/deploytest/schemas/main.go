// This program reads the files that deploy and monitor scrapehaul as their tools do:
// Docker's Dockerfile, docker compose's file and settings file, Kubernetes manifests, and
// Prometheus expressions and metrics. It is a nested module, so that nobody who embeds
// scrapehaul gets its dependencies; tests of deploytest run it.
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

// run writes the result as JSON. The error has all problems.
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
		err = fmt.Errorf("unknown schema %q", what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(read)
}
