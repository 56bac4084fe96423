package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

func registered() map[string]any {
	return map[string]any{
		ImportScrapingJobName:              ImportScrapingJob,
		ReconcileScrapingJobsName:          ReconcileScrapingJobs,
		RemoveLeftoversName:                RemoveLeftovers,
		RunSitemapName:                     runSitemap,
		BackfillMappedTableName:            BackfillMappedTable,
		activities.DeliverPublicationsName: DeliverPublications,
	}
}

// Register registers all workflows under their names with a worker, a replayer or a test
// environment.
func Register(registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}) {
	for name, each := range registered() {
		// On a versioned worker: an import that waits for days keeps no build alive.
		registry.RegisterWorkflowWithOptions(each, workflow.RegisterOptions{
			Name: name, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		})
	}
}
