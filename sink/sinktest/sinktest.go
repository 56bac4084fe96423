// Package sinktest checks implementations of [sink.RecordSink].
package sinktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Records are the records of a scraping job that readers see, by number. It is
// empty if no import is published.
type Records map[int64]json.RawMessage

// TestRecordSink checks that a sink keeps the promises of [sink.RecordSink]: it
// imports, interrupts, resumes, overtakes, replaces, abandons and removes, and calls
// read in between to check what readers see of a scraping job. It uses scraping jobs
// 1 to 99, which must not exist in the sink, and leaves published imports of them
// behind. Records are JSON objects and compared as such.
//
// The error names every broken promise. With a local sink the test takes at most a
// few seconds; ctx bounds it.
//
//	func TestSink(t *testing.T) {
//		if err := sinktest.TestRecordSink(t.Context(), newSink(t), read); err != nil {
//			t.Fatal(err)
//		}
//	}
func TestRecordSink(ctx context.Context, s sink.RecordSink, read func(ctx context.Context, scrapingJobID int64) (Records, error)) error {
	var problems []error
	for i, each := range promises {
		c := &check{ctx: ctx, sink: s, read: read, job: int64(i + 1)}
		c.run(each.hold)
		for _, problem := range c.problems {
			problems = append(problems, fmt.Errorf("%s: %w", each.name, problem))
		}
	}
	return errors.Join(problems...)
}

// check checks one promise, with its own scraping job.
type check struct {
	ctx      context.Context
	sink     sink.RecordSink
	read     func(context.Context, int64) (Records, error)
	job      int64
	problems []error
}

// run checks the promise in its own goroutine, so that must can end it.
func (c *check) run(hold func(*check)) {
	var running sync.WaitGroup
	running.Go(func() { hold(c) })
	running.Wait()
}

func (c *check) errorf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf(format, args...))
}

// must ends the check on an error.
func (c *check) must(doing string, err error) {
	if err != nil {
		c.errorf("%s: %w", doing, err)
		runtime.Goexit()
	}
}

func (c *check) mustBe(doing string, err, want error) {
	if !errors.Is(err, want) {
		c.errorf("%s: the error is %v, want %v", doing, err, want)
	}
}

func (c *check) equal(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		c.errorf("%s: %+v, want %+v", what, got, want)
	}
}

// request requests the import of a file with 10 bytes per record.
func (c *check) request(pass int, records int64) sink.ImportRequest {
	return sink.ImportRequest{
		Job: sink.ScrapingJob{
			ScrapingJobID: c.job, Account: "acme", SitemapID: 100 + c.job, SitemapName: fmt.Sprintf("sitemap %d", c.job), CustomID: "custom",
			Status: "finished", JobsScheduled: 5, JobsExecuted: 5, JobsFailed: 1, JobsEmpty: 2, JobsNoValue: 3, StoredRecordCount: records,
		},
		WorkflowRunID: fmt.Sprintf("run-%d", c.job), Pass: pass,
		RequestedAt: time.Date(2026, 1, 1, 0, pass, 0, 123_456_000, time.UTC),
		Bytes:       10 * records, SHA256: fmt.Sprintf("%064d", records),
	}
}

func (c *check) begin(request sink.ImportRequest) sink.Import {
	attempt, err := c.sink.BeginImport(c.ctx, request)
	c.must("starting an import", err)
	return attempt
}

// object returns the record with that number.
func object(pass int, number int64) string {
	return fmt.Sprintf(`{"pass": %d, "number": %d, "text": "\"%d\" \\ ü 漢字 🙂\n"}`, pass, number, number)
}

// batch has the records from first to last.
func batch(of sink.Import, pass int, first, last int64) sink.Batch {
	b := of.NewBatch()
	for n := first; n <= last; n++ {
		data := []byte(object(pass, n))
		b.Add(n, data)
		clear(data) // the caller's again
	}
	b.EndsAt(10*last, last)
	return b
}

func commit(ctx context.Context, attempt sink.Import, batches ...sink.Batch) error {
	return attempt.CommitBatches(ctx, 2, func(context.Context) (sink.Batch, error) {
		if len(batches) == 0 {
			return nil, nil
		}
		next := batches[0]
		batches = batches[1:]
		return next, nil
	}, func(sink.Batch) {})
}

// publish imports and publishes that many records.
func (c *check) publish(pass int, records int64) sink.Import {
	return c.imports(c.request(pass, records))
}

func (c *check) imports(request sink.ImportRequest) sink.Import {
	attempt, pass, records := c.begin(request), request.Pass, request.Bytes/10
	c.must("committing", commit(c.ctx, attempt, batch(attempt, pass, 1, records/2), batch(attempt, pass, records/2+1, records)))
	c.must("publishing", attempt.Publish(c.ctx, func() {}))
	return attempt
}

// last returns the last job of the account's sitemap, which has the check's name.
func (c *check) last(account string) *sink.PublishedImport {
	last, err := c.sink.LastOfSitemap(c.ctx, account, c.request(1, 1).Job.SitemapName)
	c.must("reading the last job of a sitemap", err)
	return last
}

// sees compares what readers see with the records 1 to n of a pass.
func (c *check) sees(when string, pass int, n int64) {
	got, err := c.read(c.ctx, c.job)
	c.must("reading the records "+when, err)
	if int64(len(got)) != n {
		c.errorf("%s readers see %d records, want %d of pass %d", when, len(got), n, pass)
		return
	}
	for number := int64(1); number <= n; number++ {
		var is, want any
		if err := json.Unmarshal(got[number], &is); err != nil {
			c.errorf("%s record %d is %q: %w", when, number, got[number], err)
			return
		}
		if err := json.Unmarshal([]byte(object(pass, number)), &want); err != nil || !reflect.DeepEqual(is, want) {
			c.errorf("%s record %d is %s, want %s", when, number, got[number], object(pass, number))
			return
		}
	}
}

func checkpoint(records int64) sink.Checkpoint {
	return sink.Checkpoint{Bytes: 10 * records, LastRecordNumber: records, Counts: sink.Counts{Records: records}}
}

// published returns the published import of the check's job.
func (c *check) published() (sink.PublishedImport, bool) {
	imports, err := c.sink.PublishedImports(c.ctx, []int64{c.job, 999_999_999})
	c.must("reading published imports", err)
	published, ok := imports[c.job]
	if len(imports) > 1 || len(imports) == 1 && !ok {
		c.errorf("PublishedImports of job %d and one that never existed returns %d imports", c.job, len(imports))
	}
	return published, ok
}
