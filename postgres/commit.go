package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

// CommitBatches uses several connections: while one batch is committed, others are
// copied. They still commit in the order of next, so the database always holds the file
// from its beginning to the checkpoint; see [sink.Import].
func (i *attempt) CommitBatches(caller context.Context, connections int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch)) error {
	ctx, fail := context.WithCancelCause(caller)
	defer fail(nil)
	first := make(chan struct{})
	close(first)
	source := &batchSource{next: next, last: first}
	var (
		running sync.WaitGroup
		stuck   atomic.Pointer[error] // of the statement that the caller's context interrupted
	)
	for range connections {
		running.Go(func() {
			for more := true; more; {
				var err error
				if more, err = i.commitNext(ctx, source, committed); err != nil {
					fail(err) // keeps the first error
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

// batchSource hands out the batches in order, each with its turn.
type batchSource struct {
	mu   sync.Mutex
	next func(context.Context) (sink.Batch, error)
	last chan struct{} // closed when the batch handed out last is committed
	done bool
	err  error // of next
}

// turn orders the commits: a batch commits once before is closed, and then closes ended.
type turn struct{ before, ended chan struct{} }

// take returns a nil batch when there is nothing left to commit.
func (s *batchSource) take(ctx context.Context) (batch *importBatch, of turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || ctx.Err() != nil {
		return nil, turn{}
	}
	next, err := s.next(ctx)
	batch, ok := next.(*importBatch)
	if err == nil && next != nil && !ok {
		err = fmt.Errorf("the batch is a %T, not one from NewBatch", next)
	}
	if err != nil || next == nil {
		s.err, s.done = err, true
		return nil, turn{}
	}
	of = turn{s.last, make(chan struct{})}
	s.last = of.ended
	return batch, of
}

// commitNext gets a connection before it takes a batch, so that no batch waits for a
// connection that later batches hold.
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

// commitOn commits the batch. Records that PostgreSQL refuses are rejected or left unmapped,
// with the reason; the others are imported.
func (i *attempt) commitOn(ctx context.Context, conn *sqlx.Conn, batch *importBatch, turn turn, committed func(sink.Batch)) error {
	err := i.commit(ctx, conn, batch, turn, copyRecords)
	if refused(err) || i.mapped.refuses(err) {
		err = i.commit(ctx, conn, batch, turn, copyAccepted)
	}
	if err == nil {
		committed(batch)
		close(turn.ended)
	} else if pq.As(err) != nil {
		// The server still answers, so let the previous batches commit first, unless one of
		// their connections hangs.
		ctx, cancel := context.WithTimeout(ctx, i.patience)
		defer cancel()
		_ = turn.await(ctx)
	}
	return err
}

// advanceCheckpoint is the last statement of a batch. Batches commit asynchronously, and
// publishing flushes them all. A server crash before that loses the last batches together
// with their checkpoints; advanceCheckpoint then updates no row.
const advanceCheckpoint = `
UPDATE scrapehaul.imports
SET committed_bytes = $3, last_record_number = $4, records = $5, rejected = $6, columns = columns || $8, skipped = $9,
    unmapped = $10, cut = $11
FROM set_config('synchronous_commit', 'off', true)
WHERE import_id = $1 AND fence = $2 AND state = 'importing' AND committed_bytes = $7`

// writeRecords writes the batch's records in a transaction. It returns those that PostgreSQL
// refused, and those without a row in the mapped table.
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
		// Last, to lock the row only briefly.
		return exactlyOne(tx.ExecContext(ctx, advanceCheckpoint,
			i.id, i.fencingToken, next.Bytes, next.LastRecordNumber, next.Records, next.Rejected, checkpoint.Bytes, pq.StringArray(columns), next.Skipped, next.Unmapped, next.Cut))
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.checkpoint, i.committedColumns = next, append(i.committedColumns, columns...)
	return nil
}

// newColumns returns the columns that no earlier batch had, up to maxColumns in all.
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

// await waits until the previous batch is committed.
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

// aside holds records that are rejected, skipped or unmapped, with the name of their table
// and its extra columns.
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
		reasons = append(reasons, storable(r.reason))
		cut = append(cut, r.cut)
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf(insertAside, a.table, a.further), importID, numbers, raws, reasons, cut)
	return err
}

// maxReasonBytes limits a stored reason.
const maxReasonBytes = 2000

// storable returns a reason, which a host's hook may have written, as text that PostgreSQL
// accepts.
func storable(reason string) string {
	reason = strings.ReplaceAll(strings.ToValidUTF8(reason, "\ufffd"), "\x00", "")
	if len(reason) > maxReasonBytes {
		reason = strings.ToValidUTF8(reason[:maxReasonBytes-len("…")], "") + "…"
	}
	return reason
}
