package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// killStep has the kill of each round come at another moment of a batch, whose
// commit was seen just before. A batch takes some 50 ms.
const killStep = 15 * time.Millisecond

// interruption is a way to end a worker in the middle of an import.
type interruption struct {
	name, title string // in the JSON, and for people
	with        syscall.Signal
	sameSpool   bool // of the worker that is started after that
	rounds      int  // at most
}

// measureResume ends a worker in the middle of an import, starts another one immediately,
// and waits for the end.
func measureResume(ctx context.Context, s *stage, r *result) error {
	sys, err := s.system(ctx, apiLimit{}, noReconciliation)
	if err != nil {
		return err
	}
	// The other connections then are all the worker's.
	sys.DB.SetMaxOpenConns(1)
	defaults := workflows.DefaultSettings()
	t := r.table(fmt.Sprintf("resume: a worker ended in an import of %s records, another one started immediately; HEARTBEAT_TIMEOUT is %s, WORKER_GONE_AFTER %s; medians, rounds: %d",
		thousands(float64(s.Records)), defaults.HeartbeatTimeout, defaults.WorkerGoneAfter, s.Rounds),
		"ended with", "the other's spool", "records committed before", "sent again", "downloads", "seconds until the next batch is committed")
	r.set("records", float64(s.Records))
	for _, how := range []interruption{
		{"", "SIGKILL", syscall.SIGKILL, true, s.Rounds},
		{"terminated_", "SIGTERM", syscall.SIGTERM, true, s.Rounds},
		{"other_spool_", "SIGKILL", syscall.SIGKILL, false, 1},
	} {
		some := *sys.stage
		some.Rounds = how.rounds
		measured, err := some.medians(func(round int) (figures, error) { return sys.resumeOnce(ctx, how, round) })
		if err != nil {
			return err
		}
		spool := "its own"
		if how.sameSpool {
			spool = "the same"
		}
		t.row(how.title, spool, thousands(measured["records_committed_before"]), thousands(measured["records_sent_again"]),
			fmt.Sprintf("%.0f", measured["downloads"]), fmt.Sprintf("%.1f", measured["seconds"]))
		r.setAll(how.name, measured)
	}
	return nil
}

// resumeOnce measures one import whose worker is ended and replaced: the records
// committed when it ended, those that PostgreSQL has been given twice, the downloads,
// and the seconds from the signal to the next batch that another worker commits.
func (s *system) resumeOnce(ctx context.Context, how interruption, round int) (figures, error) {
	insertedBefore, err := s.inserted(ctx)
	if err != nil {
		return nil, err
	}
	worker, err := s.startWorker(s.spool)
	if err != nil {
		return nil, err
	}
	job, err := s.begin(ctx, 1, s.Records)
	if err != nil {
		return nil, err
	}
	id := job.ids[0]
	if _, err := s.waitForRecords(ctx, id, float64(s.Records)/4); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(time.Duration(round+1) * killStep):
	}
	ended := time.Now()
	if err := syscall.Kill(worker.PID(), how.with); err != nil {
		return nil, err
	}
	<-worker.Done()
	if err := s.waitForDisconnection(ctx); err != nil {
		return nil, err
	}
	kept, err := s.waitForRecords(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if kept >= float64(s.Records) {
		return nil, errors.New("the import had ended before the worker: let it have more --records")
	}

	spool := s.spool
	if !how.sameSpool {
		spool += "-of-another-host"
	}
	worker, err = s.startWorker(spool)
	if err != nil {
		return nil, err
	}
	if _, err := s.waitForRecords(ctx, id, kept+1); err != nil {
		return nil, err
	}
	seconds := time.Since(ended).Seconds()
	measured, err := s.finish(ctx, job)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(worker.Stop(), s.waitForDisconnection(ctx)); err != nil {
		return nil, err
	}
	inserted, err := s.inserted(ctx)
	if err != nil {
		return nil, err
	}
	return figures{
		"records_committed_before": kept, "records_sent_again": inserted - insertedBefore - float64(s.Records),
		"downloads": measured["downloads"], "seconds": seconds,
	}, nil
}

// inserted is how many records PostgreSQL has been given, in transactions that
// it has rolled back too. Connections report their part when they end.
func (s *system) inserted(ctx context.Context) (n float64, err error) {
	err = s.DB.GetContext(ctx, &n, `SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'scrapehaul' AND relname = 'import_records'`)
	return n, err
}

// waitForRecords waits until at least n records are committed and returns
// how many are.
func (s *system) waitForRecords(ctx context.Context, id int64, atLeast float64) (n float64, err error) {
	err = waitFor(ctx, 5*time.Millisecond, func() (bool, error) {
		err := s.DB.GetContext(ctx, &n, `SELECT coalesce(max(records), 0) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id)
		return n >= atLeast, err
	})
	return n, err
}

// waitForDisconnection waits until PostgreSQL has noticed the worker's end.
func (s *system) waitForDisconnection(ctx context.Context) error {
	return waitFor(ctx, 5*time.Millisecond, func() (bool, error) {
		var others int
		err := s.DB.GetContext(ctx, &others, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		return others == 0, err
	})
}
