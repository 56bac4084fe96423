// This program holds files that deploy scrapehaul against the schemas of those who
// read them: Docker's of a Dockerfile, Kubernetes' of manifests. It is a module of
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

// run writes what was read as JSON, a list of objects or of a Dockerfile's stages.
// The error names everything that is wrong.
func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: schemas dockerfile FILE | kubernetes FOLDER")
	}
	var read any
	var err error
	switch what, path := args[0], args[1]; what {
	case "dockerfile":
		read, err = readDockerfile(path)
	case "kubernetes":
		read, err = readManifests(path)
	default:
		err = fmt.Errorf("schemas of what: %q", what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(read)
}
