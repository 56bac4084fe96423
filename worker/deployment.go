package main

import (
	"strings"

	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// deploymentFlags are the settings of Worker Versioning.
type deploymentFlags struct {
	DeploymentName string `env:"WORKER_DEPLOYMENT_NAME" placeholder:"NAME" help:"The Worker Deployment that this worker is part of. With WORKER_BUILD_ID it takes part in Temporal's Worker Versioning. Off unless set."`
	BuildID        string `env:"WORKER_BUILD_ID" placeholder:"ID" help:"Which build of the Worker Deployment this worker is."`
}

// parse returns the options of an unversioned worker when none is set.
func (f *deploymentFlags) parse(s *program.Settings) worker.DeploymentOptions {
	switch {
	case f.DeploymentName == "" && f.BuildID == "":
		return worker.DeploymentOptions{}
	case f.DeploymentName == "":
		s.Problem("WORKER_DEPLOYMENT_NAME is missing: the Worker Deployment of which WORKER_BUILD_ID is a build; set both or none")
	case f.BuildID == "":
		s.Problem("WORKER_BUILD_ID is missing: which build of WORKER_DEPLOYMENT_NAME this worker is, such as the image's tag; set both or none")
	case strings.ContainsAny(f.DeploymentName, ".:"): // Temporal's separators of name and build
		s.Problem("WORKER_DEPLOYMENT_NAME is %q: want a name without \".\" and \":\"", f.DeploymentName)
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version:       worker.WorkerDeploymentVersion{DeploymentName: f.DeploymentName, BuildID: f.BuildID},
	}
}
