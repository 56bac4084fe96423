package systemtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Servers with priorities enabled dispatch it first; others ignore the priority.
func TestManuallyRequestedDownloadGoesFirst(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "1h"})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	s.Signal(id, workflows.ReimportSignal)
	s.WaitForAnswer("the second import", func() bool { return s.Downloads(id) == 2 && s.Progress(id).Step == workflows.StepHold })
	s.Signal(id, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	require.Equal(t, []int32{0, 1}, downloadPriorities(s, id), "0 means 3 of 5")

	imported := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	_, err := workflows.Notify(t.Context(), s.Temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: imported}, workflows.Settings{})
	require.NoError(t, err)
	s.WaitForStep(imported, workflows.StepHold)
	require.Equal(t, []int32{1}, downloadPriorities(s, imported), "as by starter import")
}

func downloadPriorities(s *systemtest.System, id int64) (priorities []int32) {
	for _, event := range s.History(s.Runs(id)[0]).GetEvents() {
		scheduled := event.GetActivityTaskScheduledEventAttributes()
		if scheduled.GetActivityType().GetName() == "DownloadScrapingJob" {
			require.Equal(s.T, workflows.DownloadTaskQueue(workflows.DefaultTaskQueue), scheduled.GetTaskQueue().GetName())
			priorities = append(priorities, scheduled.GetPriority().GetPriorityKey())
		}
	}
	return priorities
}
