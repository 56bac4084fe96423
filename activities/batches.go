package activities

import (
	"fmt"
	"sync"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// maxBatchBytes ends a batch early, so that long records cost no more memory
// than short ones.
const maxBatchBytes = 8 << 20

// batchesAtATime is how many batches there are: one is committed while the next
// one is prepared.
const batchesAtATime = 2

// batch is a batch and the mark that its commit sets: the offset in the file
// after it, and the number of the last record before that.
type batch struct {
	*postgres.Batch
	end, lastRecordNumber int64
}

// batches are prepared beside whoever takes them from ready. When ready is
// closed, err says whether the file was read to its end.
type batches struct {
	ready chan batch
	err   error

	lines   *webscraper.JSONLinesReader
	in      ImportRecordsInput
	read    postgres.Mark // how far, by Bytes and LastRecordNumber
	empty   chan *postgres.Batch
	stopped chan struct{}
	running sync.WaitGroup
}

// prepareBatches prepares the records after the mark.
func prepareBatches(lines *webscraper.JSONLinesReader, in ImportRecordsInput, mark postgres.Mark, newBatch func() *postgres.Batch) *batches {
	b := &batches{
		ready:   make(chan batch),
		lines:   lines,
		in:      in,
		read:    mark,
		empty:   make(chan *postgres.Batch, batchesAtATime),
		stopped: make(chan struct{}),
	}
	for range batchesAtATime {
		b.empty <- newBatch()
	}
	b.running.Go(func() {
		defer close(b.ready)
		b.err = b.prepare()
	})
	return b
}

// reuse gives a committed batch back.
func (b *batches) reuse(committed batch) {
	committed.Reset()
	b.empty <- committed.Batch
}

// stop ends the preparation and returns when the file is not read any more.
func (b *batches) stop() {
	close(b.stopped)
	b.running.Wait()
}

func (b *batches) prepare() error {
	for more := true; more; {
		var next batch
		select {
		case next.Batch = <-b.empty:
		case <-b.stopped:
			return nil
		}
		more = b.fill(next.Batch)
		if err := b.lines.Err(); err != nil {
			return fmt.Errorf("reading the spool file: %w", err)
		}
		if !more {
			// The rest, and the mark at the end of the file, after any blank lines.
			if b.read.Bytes == b.in.Bytes && next.Len() == 0 {
				return nil
			}
			b.read.Bytes = b.in.Bytes
		}
		next.end, next.lastRecordNumber = b.read.Bytes, b.read.LastRecordNumber
		select {
		case b.ready <- next:
		case <-b.stopped:
			return nil
		}
	}
	return nil
}

// fill takes records until the batch is full; more is false when the file ends
// before that.
func (b *batches) fill(into *postgres.Batch) (more bool) {
	for b.lines.Next() {
		line := b.lines.Line()
		if line.TooLong {
			into.Reject(line.Number, line.Data, fmt.Sprintf("%d bytes long, over the limit of %d (MAX_RECORD_BYTES)", line.Size, b.in.MaxRecordBytes))
		} else {
			into.Add(line.Number, line.Data)
		}
		b.read.Bytes, b.read.LastRecordNumber = line.End, line.Number
		if into.Len() >= b.in.BatchRecords || into.Bytes() >= maxBatchBytes {
			return true
		}
	}
	return false
}
