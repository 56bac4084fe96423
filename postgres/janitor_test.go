package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const allRecords = `SELECT (SELECT count(*) FROM scrapehaul.import_records) + (SELECT count(*) FROM scrapehaul.rejected_records)`

// ofJob is request for another scraping job.
func ofJob(id int64, r sink.ImportRequest) sink.ImportRequest {
	r.Job.ScrapingJobID = id
	return r
}

// abandon abandons the import, and fails if that has to wait.
func abandon(t *testing.T, store *postgres.Store, importID int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, store.AbandonImport(ctx, importID))
}

func jobsWithUnneeded(t *testing.T, store *postgres.Store) []int64 {
	t.Helper()
	ids, err := store.JobsWithUnneededRecords(t.Context())
	require.NoError(t, err)
	return ids
}

func TestUnfinishedImportsAreNeitherPublishedNorAbandoned(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	none, err := store.UnfinishedImports(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)

	third := request(1, 10)
	third.WorkflowRunID = "another run"
	unfinished := []sink.Import{begin(t, store, ofJob(3, third)), begin(t, store, ofJob(1, request(1, 10)))}
	require.NoError(t, commit(t, unfinished[1], 1, 5, plain))
	done := begin(t, store, request(1, 3))
	require.NoError(t, commit(t, done, 1, 3, plain))
	require.NoError(t, done.Publish(t.Context(), func() {}))
	require.NoError(t, begin(t, store, request(2, 3)).Abandon(t.Context()))

	got, err := store.UnfinishedImports(t.Context())
	require.NoError(t, err)
	for i := range got {
		require.WithinDuration(t, time.Now(), got[i].StartedAt, time.Minute)
		got[i].StartedAt = time.Time{}
	}
	require.Equal(t, []sink.UnfinishedImport{
		{ImportID: unfinished[0].ID(), ScrapingJobID: 3, WorkflowRunID: "another run"},
		{ImportID: unfinished[1].ID(), ScrapingJobID: 1, WorkflowRunID: "run"},
	}, got)
}

func TestAnAttemptAtAnAbandonedImportIsOvertaken(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 10))
	require.NoError(t, commit(t, attempt, 1, 5, plain))
	abandon(t, store, attempt.ID())
	require.ErrorIs(t, commit(t, attempt, 6, 10, plain), sink.ErrOvertaken)
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.ErrorIs(t, commit(t, attempt, 6, 10, `{"cut":%d`), sink.ErrOvertaken)
	require.Zero(t, count(t, db, allRecords))

	complete := begin(t, store, request(2, 5))
	require.NoError(t, commit(t, complete, 1, 5, plain))
	abandon(t, store, complete.ID())
	require.ErrorIs(t, complete.Publish(t.Context(), func() {}), sink.ErrOvertaken)
	require.Zero(t, count(t, db, visible))
}

func TestOnlyUnfinishedImportsAreAbandoned(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	done := begin(t, store, request(1, 5))
	require.NoError(t, commit(t, done, 1, 5, plain))
	require.NoError(t, done.Publish(t.Context(), func() {}))
	next := begin(t, store, request(2, 6))
	other := begin(t, store, ofJob(999, request(1, 6)))

	abandon(t, store, done.ID())
	abandon(t, store, 1<<40)
	require.Equal(t, int64(5), count(t, db, visible))
	abandon(t, store, other.ID())
	abandon(t, store, other.ID())
	require.NoError(t, commit(t, next, 1, 6, plain), "another job's import does not affect it")
	require.NoError(t, next.Publish(t.Context(), func() {}))
	require.Equal(t, int64(6), count(t, db, visible))
}

// hang runs work and returns once it waits for a lock that the test holds.
func hang(t *testing.T, db *sqlx.DB, work func() error) (result <-chan error) {
	t.Helper()
	finished := make(chan error, 1)
	go func() { finished <- work() }()
	require.Eventually(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`) > 0
	}, 20*time.Second, 5*time.Millisecond)
	return finished
}

func TestAnAttemptThatHangsInACommitWritesNothingLater(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 10))
	require.NoError(t, commit(t, attempt, 1, 5, plain))
	lock := db.MustBegin()
	defer func() { _ = lock.Rollback() }()
	lock.MustExec(`LOCK TABLE scrapehaul.import_records IN EXCLUSIVE MODE`)
	committed := hang(t, db, func() error { return commit(t, attempt, 6, 10, plain) })

	abandon(t, store, attempt.ID())
	require.NoError(t, lock.Rollback())
	require.Error(t, <-committed)
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.ErrorIs(t, commit(t, attempt, 6, 10, plain), sink.ErrOvertaken)
	require.Zero(t, count(t, db, allRecords))
}

// The COPY waits for a key that another transaction has written, and the batch exceeds the
// buffers of the connection.
func TestACanceledAttemptEndsItsCopy(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 1<<40))
	lock := db.MustBegin()
	defer func() { _ = lock.Rollback() }()
	lock.MustExec(`INSERT INTO scrapehaul.import_records VALUES ($1, 1, '{}')`, attempt.ID())
	long := `{"product":"` + strings.Repeat("IdeaTab ", 1000) + `%d"}`
	for name, records := range map[string]int64{"while sending": 8_000, "after sending": 2} {
		batch := attempt.NewBatch()
		for n := range records {
			batch.Add(n+1, fmt.Appendf(nil, long, n))
		}
		batch.EndsAt(records, records)
		ctx, cancel := context.WithCancel(t.Context())
		committed := hang(t, db, func() error { return commitBatch(ctx, attempt, batch) })
		cancel()
		select {
		case err := <-committed:
			require.ErrorIs(t, err, context.Canceled, name)
		case <-time.After(20 * time.Second):
			t.Fatalf("canceled %s, the attempt still hangs after 20 s", name)
		}
	}
	require.NoError(t, lock.Rollback())
	require.Zero(t, count(t, db, allRecords))
	require.NoError(t, commit(t, attempt, 1, 5, plain), "and the next batch")
}

// The last point at which an attempt can hang: everything is written, and the import's row
// is locked.
func TestAnAttemptThatHangsAfterItsCheckpointWritesNothingLater(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 10))
	hanging := db.MustBegin()
	defer func() { _ = hanging.Rollback() }()
	hanging.MustExec(`SELECT set_config('application_name', 'scrapehaul import of scraping job 1234', true)`)
	hanging.MustExec(`INSERT INTO scrapehaul.import_records VALUES ($1, 1, '{}')`, attempt.ID())
	hanging.MustExec(`UPDATE scrapehaul.imports SET committed_bytes = 1 WHERE import_id = $1`, attempt.ID())

	abandon(t, store, attempt.ID())
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.Error(t, hanging.Commit())
	require.Zero(t, count(t, db, allRecords))
}

func TestAnAttemptThatHangsInAPublishPublishesNothing(t *testing.T) {
	t.Parallel()
	hangs := map[string]func(t *testing.T, store *postgres.Store, importID int64){
		"and its import is abandoned": abandon,
		"and a later attempt starts": func(t *testing.T, store *postgres.Store, _ int64) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := store.BeginImport(ctx, request(1, 5))
			require.NoError(t, err)
		},
	}
	for name, end := range hangs {
		t.Run(name, func(t *testing.T) {
			store, db := newStore(t)
			attempt := begin(t, store, request(1, 5))
			require.NoError(t, commit(t, attempt, 1, 5, plain))
			require.NoError(t, store.AbandonJob(t.Context(), job(5)))
			lock := db.MustBegin()
			defer func() { _ = lock.Rollback() }()
			lock.MustExec(`SELECT * FROM scrapehaul.given_up_jobs FOR UPDATE`)
			publish := hang(t, db, func() error { return attempt.Publish(t.Context(), func() {}) })

			end(t, store, attempt.ID())
			require.NoError(t, lock.Rollback())
			require.Error(t, <-publish)
			require.ErrorIs(t, attempt.Publish(t.Context(), func() {}), sink.ErrOvertaken)
			require.Zero(t, count(t, db, visible))
		})
	}
}

func TestARacingAttemptCommitsNothingAfterTheRemoval(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	for pass := 1; pass <= 30; pass++ {
		attempt := begin(t, store, request(pass, 1<<40))
		committed := make(chan struct{})
		ended := make(chan error)
		go func() {
			for first := true; ; first = false {
				next := attempt.Checkpoint().LastRecordNumber + 1
				err := commit(t, attempt, next, next+9, plain)
				if first {
					close(committed)
				}
				// A lost connection is an error too, but not the end.
				if errors.Is(err, sink.ErrOvertaken) || t.Context().Err() != nil {
					ended <- err
					return
				}
			}
		}()
		<-committed
		abandon(t, store, attempt.ID())
		require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
		require.ErrorIs(t, <-ended, sink.ErrOvertaken)
		require.Zero(t, count(t, db, allRecords))
	}
}

func TestJobsWithUnneededRecordsAreListedUntilTheyAreRemoved(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	require.Empty(t, jobsWithUnneeded(t, store))
	for pass := 1; pass <= 3; pass++ {
		attempt := begin(t, store, request(pass, 5))
		require.NoError(t, commit(t, attempt, 1, 5, plain))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
	}
	abandoned := begin(t, store, ofJob(7, request(1, 5)))
	require.NoError(t, commit(t, abandoned, 1, 4, plain))
	abandon(t, store, abandoned.ID())
	running := begin(t, store, ofJob(8, request(1, 5)))
	require.NoError(t, commit(t, running, 1, 4, plain))

	require.Equal(t, []int64{7, jobID}, jobsWithUnneeded(t, store))
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.Equal(t, []int64{7}, jobsWithUnneeded(t, store))
	require.NoError(t, store.RemoveUnneeded(t.Context(), 7, func(int64) {}))
	require.Empty(t, jobsWithUnneeded(t, store))
	require.Equal(t, int64(5+4), count(t, db, allRecords), "the published and the running import keep their records")
}

func TestRemovalReportsProgressWhileItWaits(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	attempt := begin(t, store, request(1, 50_000))
	db.MustExec(`INSERT INTO scrapehaul.rejected_records SELECT $1, n, 'raw', 'reason' FROM generate_series(1, 50000) AS n`, attempt.ID())
	abandon(t, store, attempt.ID())
	other := db.MustBegin()
	defer func() { _ = other.Rollback() }()
	other.MustExec(`SELECT FROM scrapehaul.rejected_records WHERE record_number = 45000 FOR UPDATE`)
	reports := make(chan int64, 1000)
	done := make(chan error, 1)
	go func() {
		done <- store.RemoveUnneeded(context.Background(), jobID, func(records int64) { reports <- records })
	}()
	for waiting := 0; waiting < 2; {
		select {
		case records := <-reports:
			if records == 40_000 {
				waiting++
			}
		case err := <-done:
			t.Fatalf("it does not wait: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("no progress is reported")
		}
	}
	require.NoError(t, other.Rollback())
	require.NoError(t, <-done)
	require.Zero(t, count(t, db, `SELECT count(*) FROM scrapehaul.rejected_records`))
}

func TestRecordsOfAnImportMissingFromTheStatisticsAreRemovedByKey(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`INSERT INTO scrapehaul.import_records SELECT import, n, '{}' FROM generate_series(1, 5) AS import, generate_series(1, 5000) AS n`)
	db.MustExec(`ANALYZE scrapehaul.import_records`)
	var plan []string
	require.NoError(t, db.Select(&plan, `EXPLAIN `+postgres.RemovalOfRecords, 6, 0, 20_000))
	require.NotContains(t, strings.Join(plan, "\n"), "Filter", "each record would be compared with each of the batch")
	require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan")
}
