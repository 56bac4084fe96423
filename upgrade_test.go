package scrapehaul_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// versionedSystem is a system whose workers are builds of a Worker Deployment.
type versionedSystem struct {
	*systemtest.System
	deployment client.WorkerDeploymentHandle
}

const deploymentName = "scrapehaul"

func newVersionedSystem(t *testing.T) *versionedSystem {
	t.Helper()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "1h", "WORKER_DEPLOYMENT_NAME": deploymentName})
	return &versionedSystem{s, s.Temporal.WorkerDeploymentClient().GetHandle(deploymentName)}
}

// startBuild starts a worker of the build on a spool of its own.
func (s *versionedSystem) startBuild(build string) *childprocess.Process {
	s.T.Helper()
	s.Env = s.Env.With("WORKER_BUILD_ID", build)
	return s.StartWorker(s.T.TempDir())
}

// setCurrent makes the build current, and waits until Temporal starts workflows on it: the
// call returns before all task queues know.
func (s *versionedSystem) setCurrent(build string) {
	s.T.Helper()
	var err error
	s.WaitFor("build "+build, func() bool {
		_, err = s.deployment.SetCurrentVersion(s.T.Context(), client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build})
		return err == nil
	})
	for started := "none"; started != build; {
		running := s.Cloud.AddJob(webscrapertest.Job{Status: "started"})
		s.Notify(running)
		s.Result(running)
		started = s.build(running)
	}
}

// build returns the build that last ran the job's workflow.
func (s *versionedSystem) build(id int64) string {
	s.T.Helper()
	described, err := s.Temporal.DescribeWorkflowExecution(s.T.Context(), workflows.WorkflowID(id), "")
	require.NoError(s.T, err)
	return described.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId()
}

func TestImportHeldByOneBuildIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	s := newVersionedSystem(t)
	first := s.startBuild("1")
	s.setCurrent("1")
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	require.Equal(t, "1", s.build(id))

	s.startBuild("2")
	s.setCurrent("2")
	require.NoError(t, first.Stop())
	s.Signal(id, workflows.DeleteNowSignal)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, "2", s.build(id))
	s.RequireRecords(id, 500)
	require.Equal(t, 1, s.Downloads(id))

	next := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(300, 2)})
	s.Notify(next)
	s.WaitForAnswer("the next import", func() bool { return s.Progress(next).Records == 300 })
	require.Equal(t, "2", s.build(next))
}

func TestHeldImportsContinueWhenVersioningIsTurnedOnAndOff(t *testing.T) {
	t.Parallel()
	s := newVersionedSystem(t)
	versioned := s.Env
	s.Env = s.Env.With("WORKER_DEPLOYMENT_NAME", "")
	unversioned := s.StartWorker(t.TempDir())
	held := func() (id int64) {
		id = s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
		s.Notify(id)
		s.WaitForStep(id, workflows.StepHold)
		return id
	}
	finish := func(id int64) {
		s.Signal(id, workflows.DeleteNowSignal)
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		s.RequireRecords(id, 500)
	}
	before := held()

	s.Env = versioned
	build := s.startBuild("1")
	s.setCurrent("1")
	require.NoError(t, unversioned.Stop())
	finish(before)
	require.Equal(t, "1", s.build(before))
	with := held()

	s.Env = s.Env.With("WORKER_DEPLOYMENT_NAME", "").With("WORKER_BUILD_ID", "")
	s.StartWorker(t.TempDir())
	s.setCurrent("") // unversioned workers
	require.NoError(t, build.Stop())
	finish(with)
	finish(held())
}

// The workers' other task queues are not versioned: a file is imported where it is,
// whichever build is current.
func TestFileIsImportedByItsWorkerThoughAnotherBuildIsCurrent(t *testing.T) {
	t.Parallel()
	s := newVersionedSystem(t)
	s.startBuild("1")
	s.setCurrent("1")
	hinder, err := s.DB.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = hinder.Rollback() }()
	_, err = hinder.Exec(`LOCK TABLE scrapehaul.import_records IN SHARE MODE`) // blocks inserts
	require.NoError(t, err)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(id)
	s.WaitFor("the import", func() bool { return s.Count(`SELECT count(*) FROM scrapehaul.imports`) == 1 })

	s.startBuild("2")
	s.setCurrent("2")
	require.NoError(t, hinder.Rollback())
	s.WaitForStep(id, workflows.StepHold)
	s.Signal(id, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	require.Equal(t, "2", s.build(id))
	s.RequireRecords(id, 500)
	require.Equal(t, 1, s.Downloads(id))
}
