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

	"github.com/scrapehaul/scrapehaul/workflows"
)

// jobCosts are what jobs have cost altogether, with any number of workers.
type jobCosts struct {
	jobs int
	spent
	workerCPU                                     float64 // seconds, from the workers' start on
	historyEvents, historyBytes, stateTransitions float64
}

// spent is what counters have counted since they began.
type spent struct {
	apiCalls, apiBytes float64
	walBytes           float64 // of the whole server
	databaseCPU        float64 // seconds of the whole server; 0 when it is on another machine
}

func (s *system) spent(ctx context.Context) (so spent, err error) {
	for _, request := range s.cloud.Requests() {
		so.apiCalls++
		so.apiBytes += float64(request.Bytes)
	}
	err = s.db.GetContext(ctx, &so.walBytes, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')`)
	if err != nil {
		return so, err
	}
	var backend int
	err = s.db.GetContext(ctx, &backend, `SELECT pg_backend_pid()`)
	so.databaseCPU, _ = familyCPUSeconds(backend, "postgres")
	return so, err
}

func (c *jobCosts) add(before, after spent, jobs int) {
	c.jobs += jobs
	c.apiCalls += after.apiCalls - before.apiCalls
	c.apiBytes += after.apiBytes - before.apiBytes
	c.walBytes += after.walBytes - before.walBytes
	c.databaseCPU += after.databaseCPU - before.databaseCPU
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
		c.historyEvents += float64(run.GetHistoryLength())
		c.historyBytes += float64(run.GetHistorySizeBytes())
		c.stateTransitions += float64(run.GetStateTransitionCount())
		events, err := history(ctx, temporal, workflows.WorkflowID(id))
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
		total      float64
		perRecord  bool
	}{
		{"history_events", "history events", c.historyEvents, false},
		{"history_bytes", "bytes of history", c.historyBytes, false},
		{"state_transitions", "state transitions of Temporal", c.stateTransitions, false},
		{"api_calls", "API calls", c.apiCalls, false},
		{"api_bytes", "bytes from the API, not compressed", c.apiBytes, true},
		{"wal_bytes", "bytes of WAL", c.walBytes, true},
		{"worker_cpu_ms", "milliseconds of a worker's CPU", c.workerCPU * 1000, true},
		{"postgresql_cpu_ms", "milliseconds of PostgreSQL's CPU", c.databaseCPU * 1000, true},
	} {
		if cost.total == 0 {
			t.row(cost.title, notMeasured(noCPUTime))
			r.notMeasured("job."+cost.key, noCPUTime)
			continue
		}
		perJob, perRecord := cost.total/float64(c.jobs), ""
		if cost.perRecord {
			perRecord = strconv.FormatFloat(perJob/float64(s.ScaleRecords), 'g', 4, 64)
		}
		digits := thousands(perJob)
		if perJob < 10 {
			digits = fmt.Sprintf("%.1f", perJob)
		}
		t.row(cost.title, digits, perRecord)
		r.set("job."+cost.key, perJob)
	}
}
