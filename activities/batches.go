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

// maxBatchBytes ends a batch early, so that long records take no more memory than short
// ones.
const maxBatchBytes = 4 << 20

// batches prepares batches while the caller of next commits others. Each batch is reused
// after its commit.
type batches struct {
	records *recordReader
	in      ImportRecordsInput
	// hook is nil if records are imported unchanged.
	hook    jobHook
	read    sink.Checkpoint // only Bytes and LastRecordNumber
	empty   chan sink.Batch
	ready   chan sink.Batch
	err     error // valid when ready is closed
	started bool  // next has been called
	stopped chan struct{}
	running sync.WaitGroup
}

// prepareBatches prepares the records after the checkpoint, up to ahead batches before
// they are committed.
func prepareBatches(
	records *recordReader, in ImportRecordsInput, from sink.Checkpoint, ahead int, newBatch func() sink.Batch, hook jobHook,
) *batches {
	b := &batches{
		hook:    hook,
		records: records,
		in:      in,
		read:    from,
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

// next returns the next batch, nil after the last one. A stopping worker starts no
// further batch, but every attempt commits at least one, so that it makes progress.
func (b *batches) next(ctx context.Context) (sink.Batch, error) {
	if b.started && workerStopping(ctx) {
		return nil, errWorkerStopping
	}
	// A slow hook can delay a batch.
	var stopping <-chan struct{}
	if b.started {
		stopping = activity.GetWorkerStopChannel(ctx)
	}
	b.started = true
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

// stop ends the preparation and returns once the file is no longer being read.
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
			return spoolError{fmt.Errorf("reading the spool file: %w", err)}
		}
		if !more {
			// The rest, with the checkpoint at the end of the file, after any blank lines.
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

// fill adds records until the batch is full. more is false if the file ends first.
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

// take adds the record to the batch. The hook gets only JSON objects; the sink rejects
// everything else.
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
			return errWorkerStopping // a slow hook would block stop
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
			return fmt.Errorf("%w on record %d: it returned something other than a JSON object", errHookBroken, record.number)
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
