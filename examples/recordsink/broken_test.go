package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

// brokenSink breaks one promise of Files.
type brokenSink struct {
	*Files
	begin  func(sink.ImportRequest) sink.ImportRequest
	wrap   func(sink.Import) sink.Import
	read   func(*Files, int64) (sinktest.Records, error)
	counts func(sink.Counts) sink.Counts
	event  func(*sink.Publication)
	note   func(s *Files, importID int64) error
	last   func(s *Files, account, sitemapName string) (*sink.PublishedImport, error)
}

func (b *brokenSink) BeginImport(ctx context.Context, request sink.ImportRequest) (sink.Import, error) {
	if b.begin != nil {
		request = b.begin(request)
	}
	attempt, err := b.Files.BeginImport(ctx, request)
	if err == nil && b.wrap != nil {
		attempt = b.wrap(attempt)
	}
	return attempt, err
}

func (b *brokenSink) CountPublished(ctx context.Context, scrapingJobID, importID int64) (sink.Counts, bool, error) {
	counts, published, err := b.Files.CountPublished(ctx, scrapingJobID, importID)
	if b.counts != nil {
		counts = b.counts(counts)
	}
	return counts, published, err
}

func (b *brokenSink) Publication(ctx context.Context, importID int64) (*sink.Publication, error) {
	publication, err := b.Files.Publication(ctx, importID)
	if err == nil && b.event != nil {
		b.event(publication)
	}
	return publication, err
}

func (b *brokenSink) SetAnnounced(ctx context.Context, importID int64, problem string) error {
	if b.note != nil {
		return b.note(b.Files, importID)
	}
	return b.Files.SetAnnounced(ctx, importID, problem)
}

func (b *brokenSink) LastOfSitemap(ctx context.Context, account, sitemapName string) (*sink.PublishedImport, error) {
	if b.last != nil {
		return b.last(b.Files, account, sitemapName)
	}
	return b.Files.LastOfSitemap(ctx, account, sitemapName)
}

// forgetful starts every attempt at the beginning of the file.
type forgetful struct{ sink.Import }

func (forgetful) Checkpoint() sink.Checkpoint { return sink.Checkpoint{} }

// unfenced lets every attempt write.
type unfenced struct{ *attempt }

func (u unfenced) CommitBatches(ctx context.Context, n int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch)) error {
	u.files.mu.Lock()
	u.token = u.of.Token
	u.files.mu.Unlock()
	return u.attempt.CommitBatches(ctx, n, next, committed)
}

// hasty publishes an incomplete import.
type hasty struct{ *attempt }

func (h hasty) Publish(ctx context.Context, progress func()) error {
	h.files.mu.Lock()
	h.of.Checkpoint.Bytes = h.of.Bytes
	h.files.mu.Unlock()
	return h.attempt.Publish(ctx, progress)
}

// backwards commits the batches in the wrong order.
type backwards struct{ *attempt }

func (b backwards) CommitBatches(ctx context.Context, n int, next func(context.Context) (sink.Batch, error), committed func(sink.Batch)) error {
	var all []sink.Batch
	for {
		got, err := next(ctx)
		if got == nil || err != nil {
			for i := len(all) - 1; i >= 0; i-- {
				if err := b.commit(all[i].(*batch)); err != nil {
					return err
				}
				committed(all[i])
			}
			return err
		}
		all = append(all, got)
	}
}

// silent reports the problem to the attempt that publishes, and to no later one.
type silent struct {
	*attempt
	problem string
}

func (s *silent) Problem() string { return s.problem }

func (s *silent) Publish(ctx context.Context, progress func()) error {
	s.problem = "the view was not refreshed"
	return s.attempt.Publish(ctx, progress)
}

func TestBrokenPromisesAreFound(t *testing.T) {
	for name, each := range map[string]struct {
		broken *brokenSink
		finds  string
	}{
		"resumes from the beginning": {
			&brokenSink{wrap: func(i sink.Import) sink.Import { return forgetful{i} }}, "a retry resumes after the last batch",
		},
		"lets overtaken attempts write": {
			&brokenSink{wrap: func(i sink.Import) sink.Import { return unfenced{i.(*attempt)} }}, "an overtaken attempt writes nothing",
		},
		"publishes an incomplete file": {
			&brokenSink{wrap: func(i sink.Import) sink.Import { return hasty{i.(*attempt)} }}, "an incomplete file was published",
		},
		"commits out of order": {
			&brokenSink{wrap: func(i sink.Import) sink.Import { return backwards{i.(*attempt)} }}, "batches are committed in order",
		},
		"mistakes another file for the same": {
			&brokenSink{begin: func(r sink.ImportRequest) sink.ImportRequest { r.SHA256 = ""; return r }}, "another file of the same import starts over",
		},
		"lets earlier requests win": {
			&brokenSink{begin: func(r sink.ImportRequest) sink.ImportRequest { r.RequestedAt = time.Time{}; return r }}, "an earlier request never replaces a later one",
		},
		"shows records before they are published": {
			&brokenSink{read: func(f *Files, id int64) (sinktest.Records, error) {
				f.mu.Lock()
				defer f.mu.Unlock()
				all := sinktest.Records{}
				for _, each := range f.imports {
					if each.Job.ScrapingJobID != id {
						continue
					}
					if err := readRecords(f.recordsOf(each), func(r record) { all[r.Number] = r.Data }); err != nil {
						return nil, err
					}
				}
				return all, nil
			}}, "publishing makes all records visible",
		},
		"reports a problem once": {
			&brokenSink{wrap: func(i sink.Import) sink.Import { return &silent{attempt: i.(*attempt)} }}, "the problem",
		},
		"counts missing records": {
			&brokenSink{counts: func(c sink.Counts) sink.Counts { c.Records++; return c }}, "the counts",
		},
		"announces every import": {
			&brokenSink{begin: func(r sink.ImportRequest) sink.ImportRequest { r.Announce = true; return r }}, "Unannounced: ",
		},
		"never records an announcement": {
			&brokenSink{note: func(*Files, int64) error { return nil }}, "Unannounced after that",
		},
		"forgets the announcement's problem": {
			&brokenSink{note: func(s *Files, id int64) error { return s.SetAnnounced(context.Background(), id, "") }}, "the import's problem",
		},
		"forgets the replaced import": {
			&brokenSink{event: func(p *sink.Publication) { p.ReplacedImportID = 0 }}, "the publication",
		},
		"mistakes a restore for a re-import": {
			&brokenSink{begin: func(r sink.ImportRequest) sink.ImportRequest { r.Restored = false; return r }}, "the publication",
		},
		"forgets the account": {
			&brokenSink{begin: func(r sink.ImportRequest) sink.ImportRequest { r.Job.Account = ""; return r }}, "the published import",
		},
		"announces without the account": {
			&brokenSink{event: func(p *sink.Publication) { p.Account = "" }}, "the publication",
		},
		"mixes sitemaps of two accounts": {
			&brokenSink{last: func(s *Files, _, name string) (*sink.PublishedImport, error) {
				last, err := s.LastOfSitemap(context.Background(), "globex", name)
				if last == nil {
					last, err = s.LastOfSitemap(context.Background(), "acme", name)
				}
				return last, err
			}}, `the last job of account "acme"'s sitemap`,
		},
		"sorts the columns": {
			&brokenSink{event: func(p *sink.Publication) { p.Columns = []string{"number", "pass", "text"} }}, "its columns",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // mostly waits for the disk
			files, err := OpenFiles(t.TempDir())
			require.NoError(t, err)
			each.broken.Files = files
			require.ErrorContains(t, sinktest.TestRecordSink(t.Context(), each.broken, func(_ context.Context, id int64) (sinktest.Records, error) {
				if each.broken.read != nil {
					return each.broken.read(files, id)
				}
				return files.Read(id)
			}), each.finds)
		})
	}
}
