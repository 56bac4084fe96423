package main

import (
	"strings"

	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// deploymentFlags are the settings of Worker Versioning.
type deploymentFlags struct {
	DeploymentName string `env:"WORKER_DEPLOYMENT_NAME" placeholder:"NAME" help:"Worker Deployment that this worker belongs to. Together with WORKER_BUILD_ID it turns on Temporal's Worker Versioning. Off unless set."`
	BuildID        string `env:"WORKER_BUILD_ID" placeholder:"ID" help:"This worker's build in the Worker Deployment."`
}

// parse returns the options of an unversioned worker if neither setting is given.
func (f *deploymentFlags) parse(s *program.Settings) worker.DeploymentOptions {
	switch {
	case f.DeploymentName == "" && f.BuildID == "":
		return worker.DeploymentOptions{}
	case f.DeploymentName == "":
		s.Problem("WORKER_DEPLOYMENT_NAME is missing: the Worker Deployment that WORKER_BUILD_ID belongs to; set both or none")
	case f.BuildID == "":
		s.Problem("WORKER_BUILD_ID is missing: the build of WORKER_DEPLOYMENT_NAME, such as the image's tag; set both or none")
	case strings.ContainsAny(f.DeploymentName, ".:"): // Temporal's separators of name and build
		s.Problem("WORKER_DEPLOYMENT_NAME is %q: want a name without \".\" or \":\"", f.DeploymentName)
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version:       worker.WorkerDeploymentVersion{DeploymentName: f.DeploymentName, BuildID: f.BuildID},
	}
}
