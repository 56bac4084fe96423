package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// CommitBatches commits the batches that next returns, over so many connections
// at a time: while one batch is committed, others are copied. They are committed
// in the order of next all the same, so that what is in the database is always
// the beginning of the file up to the mark.
//
// next is called by one goroutine at a time. It returns nil when there are no
// more batches, or the error that ends the import; the batches in hand are still
// committed then. committed is called after each commit, in order; the batch is
// the caller's again.
//
// It returns [ErrOvertaken] when this attempt may no longer write. After any
// error the batches up to the mark are in the database, and nothing of the
// others.
func (i *Import) CommitBatches(caller context.Context, connections int, next func(context.Context) (*Batch, error), committed func(*Batch)) error {
	ctx, fail := context.WithCancelCause(caller)
	defer fail(nil)
	source := &batchSource{next: next, turn: i.turn}
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for more := true; more; {
				var err error
				if more, err = i.commitNext(ctx, source, committed); err != nil {
					fail(err) // the first error counts
				}
			}
		})
	}
	running.Wait()
	switch {
	case caller.Err() != nil:
		return caller.Err()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return source.err
}

// CommitBatch commits one batch.
func (i *Import) CommitBatch(ctx context.Context, batch *Batch) error {
	return i.CommitBatches(ctx, 1, func(context.Context) (*Batch, error) {
		next := batch
		batch = nil
		return next, nil
	}, func(*Batch) {})
}

// batchSource hands out the batches, each with its turn.
type batchSource struct {
	mu   sync.Mutex
	next func(context.Context) (*Batch, error)
	turn int
	done bool
	err  error // of next
}

// take returns nil when there is nothing more to commit.
func (s *batchSource) take(ctx context.Context) (batch *Batch, turn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done || ctx.Err() != nil {
		return nil, 0
	}
	if batch, s.err = s.next(ctx); batch == nil || s.err != nil {
		s.done = true
		return nil, 0
	}
	s.turn++
	return batch, s.turn
}

// commitNext takes a batch only once it has a connection for it. So the batch
// whose turn it is never waits for a connection that later ones hold.
func (i *Import) commitNext(ctx context.Context, source *batchSource, committed func(*Batch)) (more bool, err error) {
	err = i.onConnection(ctx, func(conn *sqlx.Conn) error {
		batch, turn := source.take(ctx)
		if batch == nil {
			return nil
		}
		if err := i.commitOn(ctx, conn, batch, turn, committed); err != nil {
			return fmt.Errorf("committing %d records of import %d up to record %d: %w", batch.Len(), i.id, batch.lastRecordNumber, err)
		}
		more = true
		return nil
	})
	return more, err
}

// commitOn commits the batch. A record that PostgreSQL refuses is rejected with
// the reason while the others of the batch are imported.
func (i *Import) commitOn(ctx context.Context, conn *sqlx.Conn, batch *Batch, turn int, committed func(*Batch)) error {
	err := i.commit(ctx, conn, batch, turn, copyRecords)
	if refused(err) && batch.unchecked {
		i.careful.Store(true) // where one is, there are more
		batch.check()
		err = i.commit(ctx, conn, batch, turn, copyRecords)
	}
	if refused(err) {
		err = i.commit(ctx, conn, batch, turn, insertOneByOne)
	}
	if err == nil {
		committed(batch)
		i.endTurn(turn)
	}
	return err
}

const advanceMark = `
UPDATE scrapehaul.imports
SET committed_bytes = $3, last_record_number = $4, records = $5, rejected = $6, columns = columns || $8
WHERE import_id = $1 AND fence = $2 AND state = 'importing' AND committed_bytes = $7`

// A batch need not be on PostgreSQL's disk before the next one begins: publishing
// waits for all of them. When the server crashes before that, batches are lost
// from the end, with their marks; advanceMark notices.
const leaveFlushing = `SELECT set_config('synchronous_commit', 'off', true)`

// writeRecords writes the batch's records inside a transaction and returns
// those that PostgreSQL refused.
type writeRecords func(ctx context.Context, tx transaction, batch *Batch) (refused []reject, err error)

func (i *Import) commit(ctx context.Context, conn *sqlx.Conn, batch *Batch, turn int, write writeRecords) error {
	var next Mark
	err := inTx(ctx, conn, func(tx transaction) error {
		if _, err := tx.ExecContext(ctx, leaveFlushing); err != nil {
			return err
		}
		var refused []reject
		if len(batch.records) > 0 {
			var err error
			if refused, err = write(ctx, tx, batch); err != nil {
				return err
			}
		}
		rejects := append(refused, batch.rejects...)
		if err := insertRejects(ctx, tx, i.id, rejects); err != nil {
			return err
		}
		if err := i.waitForTurn(ctx, turn); err != nil {
			return err
		}
		mark := i.Mark()
		next = Mark{
			Bytes:            batch.end,
			LastRecordNumber: batch.lastRecordNumber,
			Records:          mark.Records + int64(len(batch.records)-len(refused)),
			Rejected:         mark.Rejected + int64(len(rejects)),
		}
		// Last, so that the row is locked for a moment only.
		return exactlyOne(tx.ExecContext(ctx, advanceMark,
			i.id, i.fence, next.Bytes, next.LastRecordNumber, next.Records, next.Rejected, mark.Bytes, pq.StringArray(batch.columns)))
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mark, i.committedColumns = next, append(i.committedColumns, batch.columns...)
	return nil
}

// waitForTurn waits until the batches before have been committed.
func (i *Import) waitForTurn(ctx context.Context, turn int) error {
	for {
		i.mu.Lock()
		reached, changes := i.turn == turn-1, i.turnEnded
		i.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (i *Import) endTurn(turn int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.turn = turn
	close(i.turnEnded)
	i.turnEnded = make(chan struct{})
}

const insertRejected = `
INSERT INTO scrapehaul.rejected_records (import_id, record_number, raw, reason)
SELECT $1, unnest($2::bigint[]), unnest($3::bytea[]), unnest($4::text[])`

func insertRejects(ctx context.Context, tx transaction, importID int64, rejects []reject) error {
	if len(rejects) == 0 {
		return nil
	}
	var (
		numbers pq.Int64Array
		raws    pq.ByteaArray
		reasons pq.StringArray
	)
	for _, r := range rejects {
		numbers = append(numbers, r.number)
		raws = append(raws, r.raw)
		reasons = append(reasons, r.reason)
	}
	_, err := tx.ExecContext(ctx, insertRejected, importID, numbers, raws, reasons)
	return err
}
