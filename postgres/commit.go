package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

// CommitBatches commits over so many connections at a time: while one batch is
// committed, others are copied. They are committed in the order of next all the
// same, so that what is in the database is always the beginning of the file up to
// the checkpoint; see [sink.Import].
func (i *attempt) CommitBatches(caller context.Context, connections int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch)) error {
	ctx, fail := context.WithCancelCause(caller)
	defer fail(nil)
	first := make(chan struct{})
	close(first)
	source := &batchSource{next: next, last: first}
	var (
		running sync.WaitGroup
		stuck   atomic.Pointer[error] // where the caller's end has met a statement
	)
	for range connections {
		running.Go(func() {
			for more := true; more; {
				var err error
				if more, err = i.commitNext(ctx, source, committed); err != nil {
					fail(err) // the first error counts
					if !errors.Is(err, context.Cause(ctx)) {
						stuck.Store(&err)
					}
				}
			}
		})
	}
	running.Wait()
	switch {
	case caller.Err() != nil && stuck.Load() != nil:
		return fmt.Errorf("%w: %w", caller.Err(), *stuck.Load())
	case caller.Err() != nil:
		return caller.Err()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return source.err
}

// batchSource hands out the batches, each with its turn.
type batchSource struct {
	mu   sync.Mutex
	next func(context.Context) (sink.Batch, error)
	last chan struct{} // closed when the batch handed out last is committed
	done bool
	err  error // of next
}

// turn is a batch's: it comes when before is closed, and ended is to be closed after it.
type turn struct{ before, ended chan struct{} }

// take returns nil when there is nothing more to commit.
func (s *batchSource) take(ctx context.Context) (batch *importBatch, of turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || ctx.Err() != nil {
		return nil, turn{}
	}
	next, err := s.next(ctx)
	batch, ok := next.(*importBatch)
	if err == nil && next != nil && !ok {
		err = fmt.Errorf("the batch is a %T: take it from NewBatch", next)
	}
	if err != nil || next == nil {
		s.err, s.done = err, true
		return nil, turn{}
	}
	of = turn{s.last, make(chan struct{})}
	s.last = of.ended
	return batch, of
}

// commitNext takes a batch only once it has a connection for it. So the batch
// whose turn it is never waits for a connection that later ones hold.
func (i *attempt) commitNext(ctx context.Context, source *batchSource, committed func(sink.Batch)) (more bool, err error) {
	err = i.store.onConnection(ctx, func(conn *sqlx.Conn) error {
		batch, turn := source.take(ctx)
		if batch == nil {
			return nil
		}
		err := i.named(ctx, conn, func() error { return i.commitOn(ctx, conn, batch, turn, committed) })
		if err != nil {
			return fmt.Errorf("committing %d records of import %d up to record %d: %w", batch.Len(), i.id, batch.lastRecordNumber, err)
		}
		more = true
		return nil
	})
	return more, err
}

// commitOn commits the batch. A record that PostgreSQL refuses is rejected, or left
// unmapped, with the reason, while the others of the batch are imported.
func (i *attempt) commitOn(ctx context.Context, conn *sqlx.Conn, batch *importBatch, turn turn, committed func(sink.Batch)) error {
	err := i.commit(ctx, conn, batch, turn, copyRecords)
	if refused(err) || i.mapped.refuses(err) {
		err = i.commit(ctx, conn, batch, turn, copyAccepted)
	}
	if err == nil {
		committed(batch)
		close(turn.ended)
	} else if pq.As(err) != nil {
		// The server still answers: the batches before this one are committed first, if
		// they are not on a connection where nobody answers any more.
		ctx, cancel := context.WithTimeout(ctx, i.patience)
		defer cancel()
		_ = turn.await(ctx)
	}
	return err
}

// advanceCheckpoint is a batch's last statement. A batch need not be on PostgreSQL's disk before
// the next one begins: publishing waits for all of them. When the server crashes before
// that, batches are lost from the end, with their checkpoints; advanceCheckpoint notices.
const advanceCheckpoint = `
UPDATE scrapehaul.imports
SET committed_bytes = $3, last_record_number = $4, records = $5, rejected = $6, columns = columns || $8, skipped = $9,
    unmapped = $10, cut = $11
FROM set_config('synchronous_commit', 'off', true)
WHERE import_id = $1 AND fence = $2 AND state = 'importing' AND committed_bytes = $7`

// writeRecords writes the batch's records inside a transaction and returns those
// that PostgreSQL refused, and those of the others that have no row in the mapping's
// table.
type writeRecords func(ctx context.Context, tx transaction, batch *importBatch) (refused, unmapped []reject, err error)

func (i *attempt) commit(ctx context.Context, conn *sqlx.Conn, batch *importBatch, turn turn, write writeRecords) error {
	var (
		next    sink.Checkpoint
		columns []string
	)
	err := inTx(ctx, conn, func(tx transaction) error {
		var refused, unmapped []reject
		if len(batch.records) > 0 {
			var err error
			if refused, unmapped, err = write(ctx, tx, batch); err != nil {
				return err
			}
		}
		rejects := append(refused, batch.rejects...)
		for _, aside := range []aside{{"rejected", ", raw, cut", rejects}, {"skipped", ", raw", batch.skips}, {"unmapped", "", unmapped}} {
			if err := aside.insert(ctx, tx, i.id); err != nil {
				return err
			}
		}
		if err := turn.await(ctx); err != nil {
			return err
		}
		checkpoint := i.Checkpoint()
		next = checkpoint
		next.Bytes, next.LastRecordNumber = batch.end, batch.lastRecordNumber
		next.Records += int64(len(batch.records) - len(refused))
		next.Rejected += int64(len(rejects))
		next.Skipped += int64(len(batch.skips))
		next.Unmapped += int64(len(unmapped))
		for _, each := range rejects {
			if each.cut {
				next.Cut++
			}
		}
		columns = i.newColumns(batch.writer.columns)
		// Last, so that the row is locked for a moment only.
		return exactlyOne(tx.ExecContext(ctx, advanceCheckpoint,
			i.id, i.fence, next.Bytes, next.LastRecordNumber, next.Records, next.Rejected, checkpoint.Bytes, pq.StringArray(columns), next.Skipped, next.Unmapped, next.Cut))
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.checkpoint, i.committedColumns = next, append(i.committedColumns, columns...)
	return nil
}

// newColumns returns those that no record before the batch had, as far as a view
// can have them.
func (i *attempt) newColumns(ofBatch []string) []string {
	added := []string{}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, column := range ofBatch {
		full := len(i.committedColumns)+len(added) == maxColumns
		if !full && !slices.Contains(i.committedColumns, column) && !slices.Contains(added, column) {
			added = append(added, column)
		}
	}
	return added
}

// await waits until the batches before have been committed.
func (t turn) await(ctx context.Context) error {
	select {
	case <-t.before:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const insertAside = `
INSERT INTO scrapehaul.%[1]s_records (import_id, record_number, reason%[2]s)
SELECT $1, record_number, reason%[2]s
FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::boolean[]) AS aside (record_number, raw, reason, cut)`

// aside are records that are not where they ought to be, with the table that has them
// and its further columns.
type aside struct {
	table, further string
	records        []reject
}

func (a aside) insert(ctx context.Context, tx transaction, importID int64) error {
	if len(a.records) == 0 {
		return nil
	}
	var (
		numbers pq.Int64Array
		raws    pq.ByteaArray
		reasons pq.StringArray
		cut     pq.BoolArray
	)
	for _, r := range a.records {
		numbers = append(numbers, r.number)
		raws = append(raws, r.raw)
		reasons = append(reasons, r.reason)
		cut = append(cut, r.cut)
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(insertAside, a.table, a.further), importID, numbers, raws, reasons, cut)
	return err
}
