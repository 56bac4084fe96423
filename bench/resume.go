package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// resumption is one import whose worker was killed and started again.
type resumption struct {
	kept      float64 // records committed when the worker was killed
	sentAgain float64 // records that PostgreSQL has been given twice
	seconds   float64 // from the kill to the next committed batch
	downloads float64
}

// killStep has the kill of each round come at another moment of a batch, whose
// commit was seen just before. A batch takes some 50 ms.
const killStep = 15 * time.Millisecond

// measureResume kills a worker with SIGKILL in the middle of an import, starts
// another one on its spool at once, and waits for the end.
func measureResume(ctx context.Context, s *stage, r *result) error {
	sys, err := s.system(ctx, apiLimit{}, noReconciliation)
	if err != nil {
		return err
	}
	// The other connections then are all the worker's.
	sys.db.SetMaxOpenConns(1)
	var kept, sentAgain, seconds, downloads []float64
	for round := range s.Rounds {
		once, err := sys.resumeOnce(ctx, time.Duration(round+1)*killStep)
		if err != nil {
			return err
		}
		s.step(fmt.Sprintf("round %d of %d: resumed after %.1f s, %.0f records were sent again", round+1, s.Rounds, once.seconds, once.sentAgain))
		kept, sentAgain = append(kept, once.kept), append(sentAgain, once.sentAgain)
		seconds, downloads = append(seconds, once.seconds), append(downloads, once.downloads)
	}
	t := r.table(fmt.Sprintf("resume: a worker killed with SIGKILL in an import of %s records, another one started on its spool at once; medians, rounds: %d",
		thousands(float64(s.Records)), s.Rounds), "records committed before", "sent again", "downloads", "seconds until the next batch is committed")
	t.row(thousands(median(kept)), thousands(median(sentAgain)), fmt.Sprintf("%.0f", median(downloads)),
		fmt.Sprintf("%.1f (HEARTBEAT_TIMEOUT is %s)", median(seconds), workflows.DefaultSettings().HeartbeatTimeout))
	r.set("records", float64(s.Records))
	r.set("records_committed_before", median(kept))
	r.set("records_sent_again", median(sentAgain))
	r.set("downloads", median(downloads))
	r.set("seconds", median(seconds))
	return nil
}

func (s *system) resumeOnce(ctx context.Context, killAfter time.Duration) (once resumption, err error) {
	insertedBefore, err := s.inserted(ctx)
	if err != nil {
		return once, err
	}
	worker, err := s.startWorker(s.temporal.HostPort)
	if err != nil {
		return once, err
	}
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(s.Records, 1)})
	if err := s.notify(ctx, id); err != nil {
		return once, err
	}
	if _, err := s.waitForRecords(ctx, id, float64(s.Records)/4); err != nil {
		return once, err
	}
	select {
	case <-ctx.Done():
		return once, context.Cause(ctx)
	case <-time.After(killAfter):
	}
	killed := time.Now()
	if err := syscall.Kill(worker.PID(), syscall.SIGKILL); err != nil {
		return once, err
	}
	<-worker.Done()
	if err := s.waitForDisconnection(ctx); err != nil {
		return once, err
	}
	if once.kept, err = s.waitForRecords(ctx, id, 0); err != nil {
		return once, err
	}
	if once.kept >= float64(s.Records) {
		return once, errors.New("the import had ended before the worker was killed: let it have more --records")
	}

	worker, err = s.startWorker(s.temporal.HostPort)
	if err != nil {
		return once, err
	}
	if _, err := s.waitForRecords(ctx, id, once.kept+1); err != nil {
		return once, err
	}
	once.seconds = time.Since(killed).Seconds()
	var result workflows.ImportScrapingJobResult
	if err := s.temporal.Client().GetWorkflow(ctx, workflows.WorkflowID(id), "").Get(ctx, &result); err != nil {
		return once, err
	}
	if result.Outcome != workflows.Deleted || result.Records != int64(s.Records) {
		return once, fmt.Errorf("the import ended with %d records of %d: %s %s", result.Records, s.Records, result.Outcome, result.Reason)
	}
	if err := errors.Join(worker.Stop(), s.waitForDisconnection(ctx)); err != nil {
		return once, err
	}
	inserted, err := s.inserted(ctx)
	once.sentAgain = inserted - insertedBefore - float64(s.Records)
	for _, request := range s.cloud.Requests() {
		if request.ID == id && strings.HasSuffix(request.Path, "/json") {
			once.downloads++
		}
	}
	return once, err
}

// inserted is how many records PostgreSQL has been given, in transactions that
// it has rolled back too. Connections tell their part when they end.
func (s *system) inserted(ctx context.Context) (n float64, err error) {
	err = s.db.GetContext(ctx, &n, `SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'scrapehaul' AND relname = 'import_records'`)
	return n, err
}

// waitForRecords waits until at least so many records are committed and returns
// how many are.
func (s *system) waitForRecords(ctx context.Context, id int64, atLeast float64) (n float64, err error) {
	err = waitFor(ctx, 5*time.Millisecond, func() (bool, error) {
		err := s.db.GetContext(ctx, &n, `SELECT coalesce(max(records), 0) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id)
		return n >= atLeast, err
	})
	return n, err
}

// waitForDisconnection waits until PostgreSQL has noticed the worker's end.
func (s *system) waitForDisconnection(ctx context.Context) error {
	return waitFor(ctx, 5*time.Millisecond, func() (bool, error) {
		var others int
		err := s.db.GetContext(ctx, &others, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		return others == 0, err
	})
}
