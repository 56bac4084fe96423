package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// attempt is an attempt at an import.
type attempt struct {
	files *Files
	of    *fileImport
	token int64
}

// mayWrite fences off stale attempts.
func (a *attempt) mayWrite() error {
	if a.of.Token != a.token || a.of.State != "importing" {
		return sink.ErrOvertaken
	}
	return nil
}

func (a *attempt) ID() int64            { return a.of.ID }
func (a *attempt) NewBatch() sink.Batch { return &batch{} }

func (a *attempt) Checkpoint() sink.Checkpoint {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	return a.of.Checkpoint
}

func (a *attempt) Problem() string {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	return a.of.Problem
}

func (a *attempt) Published() bool {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	return a.of.State == "published" || a.of.State == "replaced"
}

// CommitBatches commits one batch after the other.
func (a *attempt) CommitBatches(
	ctx context.Context, _ int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch),
) error {
	for {
		b, err := next(ctx)
		if b == nil || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.commit(b.(*batch)); err != nil {
			return err
		}
		committed(b)
	}
}

// commit writes the records first: until imports.json has their size, they are what a
// crash may leave behind, and the next commit overwrites them.
func (a *attempt) commit(b *batch) error {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	if err := a.mayWrite(); err != nil {
		return err
	}
	file, err := os.OpenFile(a.files.recordsOf(a.of), os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // for a group of readers
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b.lines.Bytes(), a.of.Size)
	size := a.of.Size + int64(b.lines.Len())
	if err := errors.Join(err, file.Truncate(size), file.Sync(), file.Close(), syncFolder(filepath.Dir(file.Name()))); err != nil {
		return err
	}
	return a.files.change(func() {
		a.of.Size, a.of.Reasons = size, append(a.of.Reasons, b.reasons...)
		at := &a.of.Checkpoint
		at.Bytes, at.LastRecordNumber = b.end, b.last
		at.Records += b.records
		at.Rejected += int64(len(b.reasons))
		at.Cut += b.cut
		at.Skipped += b.skipped
	})
}

func (a *attempt) Publish(context.Context, func()) error {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	if a.of.State == "published" || a.of.State == "replaced" {
		return nil
	}
	if err := a.mayWrite(); err != nil {
		return err
	}
	if a.of.Checkpoint.Bytes != a.of.Bytes {
		return fmt.Errorf("only %d of %d bytes are committed", a.of.Checkpoint.Bytes, a.of.Bytes)
	}
	err := a.files.change(func() {
		if before := a.files.published(a.of.Job.ScrapingJobID); before != nil {
			before.State, a.of.Replaced = "replaced", before.ID
		}
		a.of.State, a.of.PublishedAt = "published", time.Now()
	})
	if err != nil {
		return err
	}
	return a.files.link(a.of)
}

func (a *attempt) Reasons(_ context.Context, limit int) (first []sink.Reason, _ error) {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	for _, each := range a.of.Reasons {
		same := func(r sink.Reason) bool { return r.Reason == each.Reason }
		if len(first) < limit && !slices.ContainsFunc(first, same) {
			first = append(first, each)
		}
	}
	return first, nil
}

func (a *attempt) Abandon(context.Context) error {
	a.files.mu.Lock()
	defer a.files.mu.Unlock()
	if err := a.mayWrite(); err != nil {
		return err
	}
	return a.files.change(func() { a.of.State = "abandoned" })
}

// batch is the lines of a records' file.
type batch struct {
	lines         bytes.Buffer
	records       int64
	reasons       []sink.Reason // of the rejected records
	cut, skipped  int64
	end, last     int64
	rejectedBytes int
}

func (b *batch) Add(number int64, data []byte) { b.AddChanged(number, data, data) }

func (b *batch) AddChanged(number int64, data, raw []byte) {
	line, err := json.Marshal(record{number, data})
	if err != nil {
		b.Reject(number, raw, "not JSON")
		return
	}
	b.lines.Write(append(line, '\n'))
	b.records++
}

func (b *batch) Reject(number int64, raw []byte, reason string) {
	b.reasons = append(b.reasons, sink.Reason{RecordNumber: number, Reason: reason})
	b.rejectedBytes += len(raw)
}

func (b *batch) Cut(number int64, beginning []byte, reason string) {
	b.Reject(number, beginning, reason)
	b.cut++
}

func (b *batch) Skip(int64, []byte, string) { b.skipped++ }
func (b *batch) EndsAt(bytes, last int64)   { b.end, b.last = bytes, last }
func (b *batch) Len() int                   { return int(b.records+b.skipped) + len(b.reasons) }
func (b *batch) Bytes() int                 { return b.lines.Len() + b.rejectedBytes }
func (b *batch) Reset()                     { *b = batch{} }
