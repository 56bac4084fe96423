package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// jobCosts are what jobs have cost altogether, with any number of workers, by the
// names of the JSON: the API's calls and bytes, the WAL and the CPU of the whole
// server, the CPU of workers from their start on, and what Temporal has stored and
// done.
type jobCosts struct {
	jobs  int
	total figures
}

// spent is what counters have counted since they began. There is no CPU time of a
// server on another machine.
func (s *system) spent(ctx context.Context) (figures, error) {
	calls, bytes := 0, int64(0)
	for _, request := range s.Cloud.Requests() {
		calls++
		bytes += request.Bytes
	}
	var server struct {
		WAL     float64
		Backend int
	}
	err := s.DB.GetContext(ctx, &server, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal, pg_backend_pid() AS backend`)
	cpu, _ := childprocess.FamilyCPUSeconds(server.Backend, "postgres")
	return figures{
		"api_calls": float64(calls), "api_bytes": float64(bytes), "wal_bytes": server.WAL, "postgresql_cpu_ms": cpu * 1000,
	}, err
}

func (c *jobCosts) add(before, after figures, jobs int) {
	c.jobs += jobs
	for name := range after {
		c.total[name] += after[name] - before[name]
	}
}

// addHistories asks Temporal what it has stored and done for the jobs, and
// returns how many of them each worker has imported.
func (c *jobCosts) addHistories(ctx context.Context, temporal client.Client, ids []int64) (byWorker []int, err error) {
	imported := map[string]int{}
	for _, id := range ids {
		described, err := temporal.DescribeWorkflowExecution(ctx, workflows.WorkflowID(id), "")
		if err != nil {
			return nil, err
		}
		run := described.GetWorkflowExecutionInfo()
		c.total["history_events"] += float64(run.GetHistoryLength())
		c.total["history_bytes"] += float64(run.GetHistorySizeBytes())
		c.total["state_transitions"] += float64(run.GetStateTransitionCount())
		events, err := temporalcost.History(ctx, temporal, workflows.WorkflowID(id))
		if err != nil {
			return nil, err
		}
		worker, err := importer(events)
		if err != nil {
			return nil, fmt.Errorf("job %d: %w", id, err)
		}
		imported[worker]++
	}
	return slices.Collect(maps.Values(imported)), nil
}

// importer is the identity of the worker that has imported the records.
func importer(events []*historypb.HistoryEvent) (identity string, err error) {
	for _, event := range events {
		if event.GetEventType() != enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED {
			continue
		}
		started := event.GetActivityTaskStartedEventAttributes()
		scheduled := events[started.GetScheduledEventId()-1].GetActivityTaskScheduledEventAttributes()
		if scheduled.GetActivityType().GetName() == "ImportRecords" {
			identity = started.GetIdentity()
		}
	}
	if identity == "" {
		return "", errors.New("its history has no import")
	}
	return identity, nil
}

func (c *jobCosts) report(s *stage, r *result) {
	t := r.table(fmt.Sprintf("scale: what a job of %s records costs, on average over %s", thousands(float64(s.ScaleRecords)), thousands(float64(c.jobs))),
		"", "a job", "a record")
	for _, cost := range []struct {
		key, title string
		perRecord  bool
	}{
		{"history_events", "history events", false},
		{"history_bytes", "bytes of history", false},
		{"state_transitions", "state transitions of Temporal", false},
		{"api_calls", "API calls", false},
		{"api_bytes", "bytes from the API, not compressed", true},
		{"wal_bytes", "bytes of WAL", true},
		{"worker_cpu_ms", "milliseconds of a worker's CPU", true},
		{"postgresql_cpu_ms", "milliseconds of PostgreSQL's CPU", true},
	} {
		perJob, perRecord := c.total[cost.key]/float64(c.jobs), ""
		if perJob == 0 {
			t.row(cost.title, r.notMeasured("job."+cost.key, "only Linux tells the CPU time of processes, and only of those on this machine"))
			continue
		}
		if cost.perRecord {
			perRecord = strconv.FormatFloat(perJob/float64(s.ScaleRecords), 'g', 4, 64)
		}
		digits := r.count("job."+cost.key, perJob)
		if perJob < 10 {
			digits = fmt.Sprintf("%.1f", perJob)
		}
		t.row(cost.title, digits, perRecord)
	}
}
