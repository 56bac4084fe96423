package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/sink"
)

// maxBatchBytes ends a batch early, so that long records cost no more memory
// than short ones.
const maxBatchBytes = 4 << 20

// batches are prepared beside those who take them with next. Each is reused
// after its commit.
type batches struct {
	records *recordReader
	in      ImportRecordsInput
	// hook is nil if records are imported as they are.
	hook    func(number int64, record []byte) (changed []byte, skip *skipRecord, err error)
	read    sink.Checkpoint // how far, by Bytes and LastRecordNumber
	empty   chan sink.Batch
	ready   chan sink.Batch
	err     error // valid when ready is closed
	begun   bool  // next has been called
	stopped chan struct{}
	running sync.WaitGroup
}

// prepareBatches prepares the records after the mark, so many batches ahead of
// those that have been committed.
func prepareBatches(
	records *recordReader, in ImportRecordsInput, mark sink.Checkpoint, ahead int, newBatch func() sink.Batch,
	hook func(number int64, record []byte) ([]byte, *skipRecord, error),
) *batches {
	b := &batches{
		hook:    hook,
		records: records,
		in:      in,
		read:    mark,
		empty:   make(chan sink.Batch, ahead),
		ready:   make(chan sink.Batch),
		stopped: make(chan struct{}),
	}
	for range ahead {
		b.empty <- newBatch()
	}
	b.running.Go(func() {
		defer close(b.ready)
		b.err = b.prepare()
	})
	return b
}

// next returns the next batch, nil after the last one, or why there is none. A
// worker that stops begins no further batch; an attempt commits one at least, so
// that each of them gets somewhere.
func (b *batches) next(ctx context.Context) (sink.Batch, error) {
	if b.begun && workerStopping(ctx) {
		return nil, errWorkerStopping
	}
	// With a slow hook, a batch takes long to come.
	var stopping <-chan struct{}
	if b.begun {
		stopping = activity.GetWorkerStopChannel(ctx)
	}
	b.begun = true
	select {
	case <-stopping:
		return nil, errWorkerStopping
	case batch, more := <-b.ready:
		if !more {
			return nil, b.err
		}
		return batch, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stop ends the preparation and returns when the file is not read any more.
func (b *batches) stop() {
	close(b.stopped)
	b.running.Wait()
}

func (b *batches) prepare() error {
	for more := true; more; {
		var batch sink.Batch
		select {
		case batch = <-b.empty:
		case <-b.stopped:
			return nil
		}
		var err error
		if more, err = b.fill(batch); err != nil {
			return err
		}
		if err := b.records.err(); err != nil {
			return fmt.Errorf("reading the spool file: %w", err)
		}
		if !more {
			// The rest, and the mark at the end of the file, after any blank lines.
			if b.read.Bytes == b.in.Bytes && batch.Len() == 0 {
				return nil
			}
			b.read.Bytes = b.in.Bytes
		}
		batch.EndsAt(b.read.Bytes, b.read.LastRecordNumber)
		select {
		case b.ready <- batch:
		case <-b.stopped:
			return nil
		}
	}
	return nil
}

// fill takes records until the batch is full; more is false when the file ends
// before that.
func (b *batches) fill(batch sink.Batch) (more bool, err error) {
	for b.records.next() {
		record := b.records.record()
		if err := b.take(batch, record); err != nil {
			return false, err
		}
		b.read.Bytes, b.read.LastRecordNumber = record.end, record.number
		if batch.Len() >= b.in.BatchRecords || batch.Bytes() >= maxBatchBytes {
			return true, nil
		}
	}
	return false, nil
}

// take adds the record to the batch, in one way or another. The hook gets JSON
// objects only; all else is the sink's to reject.
func (b *batches) take(batch sink.Batch, record record) error {
	switch {
	case record.cut:
		batch.Cut(record.number, record.data, record.refused)
		return nil
	case record.refused != "":
		batch.Reject(record.number, record.data, record.refused)
		return nil
	}
	data, raw := record.data, record.raw
	if b.hook != nil && isObject(data) {
		select {
		case <-b.stopped:
			return errWorkerStopping // a slow hook would keep stop waiting
		default:
		}
		changed, skip, err := b.hook(record.number, data)
		if err != nil {
			return err
		}
		if skip != nil {
			batch.Skip(record.number, raw, skip.reason)
			return nil
		}
		if data = changed; !isObject(data) {
			return fmt.Errorf("%w on record %d: what it returned is no JSON object", errHookBroken, record.number)
		}
	}
	if bytes.Equal(data, raw) {
		batch.Add(record.number, data)
	} else {
		batch.AddChanged(record.number, data, raw)
	}
	return nil
}

func isObject(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) && json.Valid(data) }
