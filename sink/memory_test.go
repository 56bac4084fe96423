package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

// memorySink keeps records in memory and does only what a sink must do.
type memorySink struct {
	mu      sync.Mutex
	imports []*memoryImport // by ID, from 1 on
}

type memoryImport struct {
	request     sink.ImportRequest
	id, fence   int64
	state       string // importing, published, replaced or abandoned
	removed     bool
	checkpoint  sink.Checkpoint
	records     sinktest.Records
	reasons     []sink.Reason
	started     time.Time
	publishedAt time.Time
	deletedAt   *time.Time // in the cloud
	replaced    int64      // ID of the import published before, 0 for none
	announced   bool
	problem     string
}

func (i *memoryImport) job() int64 { return i.request.Job.ScrapingJobID }

func (s *memorySink) BeginImport(_ context.Context, request sink.ImportRequest) (sink.Import, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var same *memoryImport
	for _, other := range s.imports {
		if other.job() != request.Job.ScrapingJobID {
			continue
		}
		if other.request.RequestedAt.After(request.RequestedAt) {
			return nil, sink.ErrSuperseded
		}
		switch {
		case other.state != "abandoned" && sameImport(other.request, request):
			same = other
		case other.state == "importing":
			other.state = "abandoned"
		}
	}
	if same == nil {
		same = &memoryImport{
			request: request, id: int64(len(s.imports) + 1), state: "importing", records: sinktest.Records{}, started: time.Now(),
		}
		s.imports = append(s.imports, same)
	}
	same.fence++
	return &memoryAttempt{sink: s, of: same, fence: same.fence}, nil
}

func sameImport(a, b sink.ImportRequest) bool {
	return a.WorkflowRunID == b.WorkflowRunID && a.Pass == b.Pass && a.Bytes == b.Bytes && a.SHA256 == b.SHA256
}

// memoryAttempt is an attempt at an import.
type memoryAttempt struct {
	sink  *memorySink
	of    *memoryImport
	fence int64
}

// mayWrite is called with the lock held.
func (a *memoryAttempt) mayWrite() error {
	if a.of.fence != a.fence || a.of.state != "importing" {
		return sink.ErrOvertaken
	}
	return nil
}

func (a *memoryAttempt) ID() int64            { return a.of.id }
func (a *memoryAttempt) NewBatch() sink.Batch { return &memoryBatch{} }

func (a *memoryAttempt) Checkpoint() sink.Checkpoint {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	return a.of.checkpoint
}

func (a *memoryAttempt) Problem() string {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	return a.of.problem
}

func (a *memoryAttempt) Published() bool {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	return a.of.state == "published" || a.of.state == "replaced"
}

// CommitBatches commits one batch after the other.
func (a *memoryAttempt) CommitBatches(
	ctx context.Context, _ int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch),
) error {
	for {
		batch, err := next(ctx)
		if batch == nil || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.commit(batch.(*memoryBatch)); err != nil {
			return err
		}
		committed(batch)
	}
}

// commit keeps the records and the checkpoint together.
func (a *memoryAttempt) commit(batch *memoryBatch) error {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	if err := a.mayWrite(); err != nil {
		return err
	}
	maps.Copy(a.of.records, batch.records)
	a.of.reasons = append(a.of.reasons, batch.reasons...)
	at := &a.of.checkpoint
	at.Bytes, at.LastRecordNumber = batch.end, batch.last
	at.Records += int64(len(batch.records))
	at.Rejected += int64(len(batch.reasons))
	at.Cut += batch.cut
	at.Skipped += batch.skipped
	return nil
}

func (a *memoryAttempt) Publish(context.Context, func()) error {
	if a.Published() {
		return nil
	}
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	if err := a.mayWrite(); err != nil {
		return err
	}
	if a.of.checkpoint.Bytes != a.of.request.Bytes {
		return fmt.Errorf("only %d of %d bytes are committed", a.of.checkpoint.Bytes, a.of.request.Bytes)
	}
	if before := a.sink.published(a.of.job()); before != nil {
		before.state, a.of.replaced = "replaced", before.id
	}
	a.of.state, a.of.publishedAt, a.of.deletedAt = "published", time.Now(), a.of.request.CloudDeletedAt
	return nil
}

func (a *memoryAttempt) Reasons(_ context.Context, limit int) (first []sink.Reason, _ error) {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	for _, each := range a.of.reasons {
		same := func(r sink.Reason) bool { return r.Reason == each.Reason }
		if len(first) < limit && !slices.ContainsFunc(first, same) {
			first = append(first, each)
		}
	}
	return first, nil
}

func (a *memoryAttempt) Abandon(context.Context) error {
	a.sink.mu.Lock()
	defer a.sink.mu.Unlock()
	if err := a.mayWrite(); err != nil {
		return err
	}
	a.of.state = "abandoned"
	return nil
}

type memoryBatch struct {
	records      sinktest.Records
	reasons      []sink.Reason // of the rejected records
	cut, skipped int64
	bytes        int
	end, last    int64
}

func (b *memoryBatch) Add(number int64, data []byte) { b.AddChanged(number, data, data) }

func (b *memoryBatch) AddChanged(number int64, data, raw []byte) {
	if !json.Valid(data) {
		b.Reject(number, raw, "not JSON")
		return
	}
	if b.records == nil {
		b.records = sinktest.Records{}
	}
	b.records[number] = bytes.Clone(data)
	b.bytes += len(data)
}

func (b *memoryBatch) Reject(number int64, raw []byte, reason string) {
	b.reasons = append(b.reasons, sink.Reason{RecordNumber: number, Reason: reason})
	b.bytes += len(raw)
}

func (b *memoryBatch) Cut(number int64, beginning []byte, reason string) {
	b.Reject(number, beginning, reason)
	b.cut++
}

func (b *memoryBatch) Skip(_ int64, raw []byte, _ string) { b.skipped++; b.bytes += len(raw) }
func (b *memoryBatch) EndsAt(bytes, last int64)           { b.end, b.last = bytes, last }
func (b *memoryBatch) Len() int                           { return len(b.records) + len(b.reasons) + int(b.skipped) }
func (b *memoryBatch) Bytes() int                         { return b.bytes }
func (b *memoryBatch) Reset()                             { *b = memoryBatch{} }

// published is called with the lock held.
func (s *memorySink) published(scrapingJobID int64) *memoryImport {
	for _, each := range s.imports {
		if each.job() == scrapingJobID && each.state == "published" {
			return each
		}
	}
	return nil
}

// Read returns what readers see.
func (s *memorySink) Read(_ context.Context, scrapingJobID int64) (sinktest.Records, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if published := s.published(scrapingJobID); published != nil {
		return maps.Clone(published.records), nil
	}
	return nil, nil
}

func (s *memorySink) PublishedImports(_ context.Context, scrapingJobIDs []int64) (map[int64]sink.PublishedImport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	imports := map[int64]sink.PublishedImport{}
	for _, id := range scrapingJobIDs {
		if published := s.published(id); published != nil {
			imports[id] = published.asPublished()
		}
	}
	return imports, nil
}

func (i *memoryImport) asPublished() sink.PublishedImport {
	return sink.PublishedImport{
		ScrapingJob: i.request.Job, Counts: i.checkpoint.Counts, ImportID: i.id, Bytes: i.request.Bytes, SHA256: i.request.SHA256,
		PublishedAt: i.publishedAt, CloudDeletedAt: i.deletedAt, Unannounced: i.request.Announce && !i.announced,
	}
}

func (s *memorySink) Publication(_ context.Context, importID int64) (*sink.Publication, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.imports[importID-1]
	kind := sink.FirstImport
	switch {
	case of.publishedAt.IsZero():
		return nil, fmt.Errorf("import %d was never published", importID)
	case of.request.Restored:
		kind = sink.Restore
	case of.replaced != 0:
		kind = sink.Reimport
	}
	job := of.request.Job
	return &sink.Publication{
		ScrapingJobID: job.ScrapingJobID, Account: job.Account, SitemapID: job.SitemapID, SitemapName: job.SitemapName, CustomID: job.CustomID, Status: job.Status,
		ImportID: of.id, ReplacedImportID: of.replaced, Kind: kind, Counts: of.checkpoint.Counts, PublishedAt: of.publishedAt.UTC(),
	}, nil
}

func (s *memorySink) SetAnnounced(_ context.Context, importID int64, problem string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.imports[importID-1]
	of.announced = true
	if !strings.Contains(of.problem, problem) {
		of.problem = strings.TrimPrefix(of.problem+"; "+problem, "; ")
	}
	return nil
}

func (s *memorySink) LastOfSitemap(_ context.Context, account, sitemapName string) (*sink.PublishedImport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *sink.PublishedImport
	for _, each := range s.imports {
		job := each.request.Job
		if each.state == "published" && job.Account == account && job.SitemapName == sitemapName && job.Status == "finished" &&
			(last == nil || each.publishedAt.After(last.PublishedAt)) {
			published := each.asPublished()
			last = &published
		}
	}
	return last, nil
}

func (s *memorySink) CountPublished(_ context.Context, scrapingJobID, importID int64) (counts sink.Counts, published bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.published(scrapingJobID)
	if of == nil || of.id != importID {
		return counts, false, nil
	}
	counts = of.checkpoint.Counts
	counts.Records = int64(len(of.records)) // counted, not trusted
	return counts, true, nil
}

func (s *memorySink) SetCloudDeleted(_ context.Context, scrapingJobID int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if published := s.published(scrapingJobID); published != nil && published.deletedAt == nil {
		now := time.Now()
		published.deletedAt = &now
	}
	return nil
}

func (i *memoryImport) unneeded() bool {
	return !i.removed && (i.state == "replaced" || i.state == "abandoned")
}

func (s *memorySink) JobsWithUnneededRecords(context.Context) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []int64
	for _, each := range s.imports {
		if each.unneeded() {
			jobs = append(jobs, each.job())
		}
	}
	slices.Sort(jobs)
	return slices.Compact(jobs), nil
}

func (s *memorySink) RemoveUnneeded(_ context.Context, scrapingJobID int64, _ func(int64)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, each := range s.imports {
		if each.job() == scrapingJobID && each.unneeded() {
			each.records, each.removed = nil, true
		}
	}
	return nil
}

func (s *memorySink) UnfinishedImports(context.Context) ([]sink.UnfinishedImport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unfinished []sink.UnfinishedImport
	for _, each := range s.imports {
		if each.state == "importing" {
			unfinished = append(unfinished, sink.UnfinishedImport{
				ImportID: each.id, ScrapingJobID: each.job(), WorkflowRunID: each.request.WorkflowRunID, StartedAt: each.started,
			})
		}
	}
	return unfinished, nil
}

func (s *memorySink) AbandonImport(_ context.Context, importID int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if each := s.imports[importID-1]; each.state == "importing" {
		each.state = "abandoned"
	}
	return nil
}

func TestMemorySinkKeepsThePromises(t *testing.T) {
	s := &memorySink{}
	require.NoError(t, sinktest.TestRecordSink(t.Context(), s, s.Read))
}
