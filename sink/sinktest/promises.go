package sinktest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// promises are what is checked, each with its own job.
var promises = []struct {
	name string
	hold func(*check)
}{
	{"publishing makes all records visible in one step", visibleFromPublish},
	{"a retry resumes after the last batch, and an overtaken attempt writes nothing", overtaken},
	{"another file of the same import starts over", anotherFile},
	{"an earlier request never replaces a later one", superseded},
	{"a later import replaces the previous one in one step", replaces},
	{"a retry finds its import published", findsPublished},
	{"abandoning an import keeps what was published", abandons},
	{"an import is abandoned whichever attempt holds it", abandonsUnfinished},
	{"an unstorable record is rejected, and its neighbors are kept", rejects},
	{"batches are committed in order, and an error leaves only a prefix", inOrder},
	{"batches are reused", reused},
	{"a file without records is published", empty},
	{"the job object and the times are kept", keepsTheJob},
	{"an import is announced once, with its complete event", announced},
	{"imports of several jobs run concurrently", concurrent},
}

func visibleFromPublish(c *check) {
	attempt := c.begin(c.request(1, 20))
	if attempt.ID() <= 0 {
		c.errorf("the import's ID is %d, want a positive one", attempt.ID())
	}
	c.equal("the checkpoint at the start", attempt.Checkpoint(), sink.Checkpoint{})
	c.must("committing", commit(c.ctx, attempt, batch(attempt, 1, 1, 15)))
	c.equal("the checkpoint", attempt.Checkpoint(), checkpoint(15))
	if err := attempt.Publish(c.ctx, func() {}); err == nil {
		c.errorf("an incomplete file was published")
	}
	c.sees("before publishing", 1, 0)
	c.must("committing", commit(c.ctx, attempt, batch(attempt, 1, 16, 20)))
	if _, ok := c.published(); ok || attempt.Published() {
		c.errorf("it is published before Publish")
	}
	c.must("publishing", attempt.Publish(c.ctx, func() {}))
	c.must("publishing twice", attempt.Publish(c.ctx, func() {}))
	if !attempt.Published() {
		c.errorf("it is not published after Publish")
	}
	c.sees("after publishing", 1, 20)
	counts, published, err := c.sink.CountPublished(c.ctx, c.job, attempt.ID())
	c.must("counting", err)
	c.equal("CountPublished", published, true)
	c.equal("the counts", counts, sink.Counts{Records: 20})
	_, published, err = c.sink.CountPublished(c.ctx, c.job, attempt.ID()+1_000_000)
	c.must("counting another import", err)
	c.equal("CountPublished of another import", published, false)
}

func overtaken(c *check) {
	stale := c.begin(c.request(1, 20))
	c.must("committing", commit(c.ctx, stale, batch(stale, 1, 1, 5), batch(stale, 1, 6, 10)))
	c.begin(c.request(1, 20)) // overtaken in turn
	last := c.begin(c.request(1, 20))
	c.equal("the import's ID", last.ID(), stale.ID())
	c.equal("the checkpoint", last.Checkpoint(), checkpoint(10))
	c.mustBe("committing as an overtaken attempt", commit(c.ctx, stale, batch(stale, 1, 11, 20)), sink.ErrOvertaken)
	c.must("committing", commit(c.ctx, last, batch(last, 1, 11, 20)))
	c.mustBe("abandoning as an overtaken attempt", stale.Abandon(c.ctx), sink.ErrOvertaken)
	late := c.begin(c.request(1, 20))
	c.mustBe("publishing as an overtaken attempt", last.Publish(c.ctx, func() {}), sink.ErrOvertaken)
	c.sees("before publishing", 1, 0)
	c.must("publishing", late.Publish(c.ctx, func() {}))
	c.sees("after publishing", 1, 20)
}

func anotherFile(c *check) {
	first := c.begin(c.request(1, 20))
	c.must("committing", commit(c.ctx, first, batch(first, 7, 1, 10)))
	other := c.request(1, 20)
	other.SHA256 = "another"
	second := c.begin(other)
	c.equal("the checkpoint", second.Checkpoint(), sink.Checkpoint{})
	c.mustBe("committing with the previous file", commit(c.ctx, first, batch(first, 7, 11, 20)), sink.ErrOvertaken)
	c.must("committing", commit(c.ctx, second, batch(second, 1, 1, 20)))
	c.must("publishing", second.Publish(c.ctx, func() {}))
	c.sees("after publishing", 1, 20)
	c.removed(1)
}

func superseded(c *check) {
	early := c.begin(c.request(1, 10))
	late := c.begin(c.request(2, 20))
	_, err := c.sink.BeginImport(c.ctx, c.request(1, 10))
	c.mustBe("starting an earlier import", err, sink.ErrSuperseded)
	c.mustBe("committing an earlier import", commit(c.ctx, early, batch(early, 1, 1, 10)), sink.ErrOvertaken)
	c.must("committing", commit(c.ctx, late, batch(late, 2, 1, 20)))
	c.must("publishing", late.Publish(c.ctx, func() {}))
	_, err = c.sink.BeginImport(c.ctx, c.request(1, 10))
	c.mustBe("starting an earlier import after publishing", err, sink.ErrSuperseded)
	c.sees("after publishing", 2, 20)
}

func replaces(c *check) {
	before := c.publish(1, 30)
	next := c.begin(c.request(2, 20))
	c.must("committing", commit(c.ctx, next, batch(next, 2, 1, 20)))
	c.sees("while the next is imported", 1, 30)

	// A reader that polls sees one or the other.
	done := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			records, err := c.read(c.ctx, c.job)
			if err != nil || len(records) != 30 && len(records) != 20 {
				c.errorf("while it is published a reader sees %d records: %v", len(records), err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	err := next.Publish(c.ctx, func() {})
	close(done)
	reading.Wait()
	c.must("publishing", err)
	c.sees("after publishing", 2, 20)
	_, published, err := c.sink.CountPublished(c.ctx, c.job, before.ID())
	c.must("counting the replaced import", err)
	c.equal("CountPublished of the replaced import", published, false)
	c.removed(1)
	c.sees("after removing the replaced import", 2, 20)
}

// removed removes the records of the job's unneeded imports, of which there are that
// many.
func (c *check) removed(imports int) {
	jobs, err := c.sink.JobsWithUnneededRecords(c.ctx)
	c.must("listing jobs with unneeded records", err)
	if listed := slices.Contains(jobs, c.job); listed != (imports > 0) || !slices.IsSorted(jobs) {
		c.errorf("JobsWithUnneededRecords returns %d; job %d has %d unneeded imports", jobs, c.job, imports)
	}
	c.must("removing unneeded records", c.sink.RemoveUnneeded(c.ctx, c.job, func(int64) {}))
	c.must("removing them twice", c.sink.RemoveUnneeded(c.ctx, c.job, func(int64) {}))
	jobs, err = c.sink.JobsWithUnneededRecords(c.ctx)
	c.must("listing jobs with unneeded records", err)
	if slices.Contains(jobs, c.job) {
		c.errorf("after RemoveUnneeded JobsWithUnneededRecords still returns the job")
	}
}

func findsPublished(c *check) {
	first := c.publish(1, 10)
	again := c.begin(c.request(1, 10))
	c.equal("Published", again.Published(), true)
	c.equal("the import's ID", again.ID(), first.ID())
	c.equal("the checkpoint", again.Checkpoint(), checkpoint(10))
	c.equal("the problem", again.Problem(), first.Problem())
	c.must("publishing twice", again.Publish(c.ctx, func() {}))
	c.sees("after publishing twice", 1, 10)
	c.removed(0)
}

func abandons(c *check) {
	c.publish(1, 10)
	short := c.begin(c.request(2, 4))
	c.must("committing", commit(c.ctx, short, batch(short, 2, 1, 4)))
	c.must("abandoning", short.Abandon(c.ctx))
	c.mustBe("publishing the abandoned import", short.Publish(c.ctx, func() {}), sink.ErrOvertaken)
	c.sees("after abandoning", 1, 10)
	c.removed(1)
	c.sees("after removing", 1, 10)
	restarted := c.begin(c.request(2, 4))
	c.equal("the checkpoint of the same import started over", restarted.Checkpoint(), sink.Checkpoint{})
	c.must("abandoning", restarted.Abandon(c.ctx))
}

func abandonsUnfinished(c *check) {
	attempt := c.begin(c.request(1, 20))
	c.must("committing", commit(c.ctx, attempt, batch(attempt, 1, 1, 10)))
	unfinished, err := c.sink.UnfinishedImports(c.ctx)
	c.must("listing unfinished imports", err)
	at := slices.IndexFunc(unfinished, func(u sink.UnfinishedImport) bool { return u.ImportID == attempt.ID() })
	if at < 0 {
		c.errorf("UnfinishedImports does not return import %d", attempt.ID())
	} else {
		found := unfinished[at]
		if time.Since(found.StartedAt).Abs() > time.Hour {
			c.errorf("it was started at %s", found.StartedAt)
		}
		found.StartedAt = time.Time{}
		c.equal("the unfinished import", found, sink.UnfinishedImport{ImportID: attempt.ID(), ScrapingJobID: c.job, WorkflowRunID: c.request(1, 20).WorkflowRunID})
	}
	c.must("abandoning it", c.sink.AbandonImport(c.ctx, attempt.ID()))
	c.must("abandoning it twice", c.sink.AbandonImport(c.ctx, attempt.ID()))
	c.mustBe("committing to the abandoned import", commit(c.ctx, attempt, batch(attempt, 1, 11, 20)), sink.ErrOvertaken)
	c.removed(1)
	published := c.publish(2, 10)
	c.must("abandoning a published import", c.sink.AbandonImport(c.ctx, published.ID()))
	c.sees("after that", 2, 10)
}

func rejects(c *check) {
	attempt := c.begin(c.request(1, 7))
	b := attempt.NewBatch()
	b.Add(1, []byte(object(1, 1)))
	b.Reject(2, []byte("\xff\x00"), "it is odd")
	b.Add(3, []byte(object(1, 3)))
	b.Reject(4, []byte("\xff"), "it is odd")
	b.Skip(5, []byte(object(1, 5)), "it is \xff\x00 not wanted")
	b.Cut(6, []byte("its beginning"), "it is too long")
	b.Add(7, []byte(`{"cut":`)) // kept or rejected: the sink decides
	b.EndsAt(70, 7)
	c.equal("the batch's length", b.Len(), 7)
	if b.Bytes() <= 0 {
		c.errorf("the batch reports a size of %d bytes", b.Bytes())
	}
	c.must("committing", commit(c.ctx, attempt, b))
	kept := attempt.Checkpoint()
	if kept.All() != 7 || kept.Records < 2 || kept.Rejected < 3 || kept.Skipped != 1 || kept.Cut != 1 {
		c.errorf("of 7 records, one not JSON, three rejected (one of them cut) and one skipped, the checkpoint counts %+v", kept.Counts)
	}
	reasons, err := attempt.Reasons(c.ctx, 2)
	c.must("reading the reasons", err)
	c.equal("the first two reasons", reasons, []sink.Reason{{RecordNumber: 2, Reason: "it is odd"}, {RecordNumber: 6, Reason: "it is too long"}})
	c.must("publishing", attempt.Publish(c.ctx, func() {}))
	counts, _, err := c.sink.CountPublished(c.ctx, c.job, attempt.ID())
	c.must("counting", err)
	c.equal("the counts", counts, kept.Counts)
	visible, err := c.read(c.ctx, c.job)
	c.must("reading", err)
	if int64(len(visible)) != kept.Records || visible[1] == nil || visible[3] == nil || visible[4] != nil || visible[5] != nil || visible[6] != nil {
		c.errorf("readers see %d records, want %d, with 1 and 3 and without 4, 5 and 6", len(visible), kept.Records)
	}
}

func inOrder(c *check) {
	attempt := c.begin(c.request(1, 1000))
	broken := errors.New("the file cannot be read")
	last := int64(0)
	var ends []int64
	err := attempt.CommitBatches(c.ctx, 3, func(context.Context) (sink.Batch, error) {
		if last == 700 {
			return nil, broken
		}
		b := batch(attempt, 1, last+1, last+100)
		last += 100
		return b, nil
	}, func(sink.Batch) { ends = append(ends, attempt.Checkpoint().LastRecordNumber) })
	c.mustBe("committing until the file cannot be read", err, broken)
	c.equal("the checkpoint after each batch", ends, []int64{100, 200, 300, 400, 500, 600, 700})
	c.equal("the checkpoint", attempt.Checkpoint(), checkpoint(700))

	ctx, cancel := context.WithCancel(c.ctx)
	err = attempt.CommitBatches(ctx, 3, func(ctx context.Context) (sink.Batch, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		cancel()
		return batch(attempt, 1, 701, 800), nil
	}, func(sink.Batch) {})
	if err == nil {
		c.errorf("CommitBatches returns no error though its context was canceled")
	}
	resumed := c.begin(c.request(1, 1000))
	from := resumed.Checkpoint().LastRecordNumber
	if from%100 != 0 || from < 700 || resumed.Checkpoint() != checkpoint(from) {
		c.errorf("after that the checkpoint is %+v", resumed.Checkpoint())
	}
	c.must("committing the rest", commit(c.ctx, resumed, batch(resumed, 1, from+1, 1000)))
	c.must("publishing", resumed.Publish(c.ctx, func() {}))
	c.sees("after publishing", 1, 1000)
}

func reused(c *check) {
	attempt := c.begin(c.request(1, 300))
	b := batch(attempt, 9, 1, 50)
	b.Reject(51, []byte("x"), "never committed")
	b.Cut(53, []byte("x"), "never committed")
	b.Skip(52, []byte("x"), "never committed")
	b.Reset()
	c.equal("the length of an empty batch", b.Len(), 0)
	next := int64(1)
	err := attempt.CommitBatches(c.ctx, 1, func(context.Context) (sink.Batch, error) {
		if next > 300 {
			return nil, nil
		}
		for range 100 {
			b.Add(next, []byte(object(1, next)))
			next++
		}
		b.EndsAt(10*(next-1), next-1)
		return b, nil
	}, func(committed sink.Batch) { committed.Reset() })
	c.must("committing", err)
	c.must("publishing", attempt.Publish(c.ctx, func() {}))
	c.sees("after publishing", 1, 300)
}

func empty(c *check) {
	blank := c.request(1, 0)
	blank.Bytes = 7 // of white space
	attempt := c.begin(blank)
	b := attempt.NewBatch()
	b.EndsAt(7, 0)
	c.must("committing a batch without records", commit(c.ctx, attempt, b))
	c.equal("the checkpoint", attempt.Checkpoint(), sink.Checkpoint{Bytes: 7})
	c.must("publishing", attempt.Publish(c.ctx, func() {}))
	c.sees("after publishing", 1, 0)
	none := c.begin(c.request(2, 0))
	c.must("publishing a file of no bytes", none.Publish(c.ctx, func() {}))
	counts, published, err := c.sink.CountPublished(c.ctx, c.job, none.ID())
	c.must("counting", err)
	c.equal("CountPublished", published, true)
	c.equal("the counts", counts, sink.Counts{})
}

func keepsTheJob(c *check) {
	if _, ok := c.published(); ok {
		c.errorf("a job that was never imported has a published import")
	}
	request := c.request(1, 10)
	if c.last(request.Job.Account) != nil {
		c.errorf("a sitemap that was never imported has a last job")
	}
	attempt := c.imports(request)
	published, ok := c.published()
	c.equal("PublishedImports has it", ok, true)
	if published.CloudDeletedAt != nil || time.Since(published.PublishedAt).Abs() > time.Hour {
		c.errorf("it was published at %s, deleted in the cloud at %v", published.PublishedAt, published.CloudDeletedAt)
	}
	at := published.PublishedAt
	published.PublishedAt = time.Time{}
	c.equal("the published import", published, sink.PublishedImport{
		ScrapingJob: request.Job, Counts: sink.Counts{Records: 10}, ImportID: attempt.ID(), Bytes: request.Bytes, SHA256: request.SHA256,
	})
	if last := c.last(request.Job.Account); last == nil || last.ScrapingJobID != c.job || last.Records != 10 || !last.PublishedAt.Equal(at) {
		c.errorf("the last job of the sitemap is %+v, want job %d with 10 records", last, c.job)
	}
	theirs := request // another account's sitemap of that name
	theirs.Job.ScrapingJobID, theirs.Job.Account = 60, "globex"
	c.imports(theirs)
	for account, want := range map[string]int64{request.Job.Account: c.job, "globex": 60} {
		if last := c.last(account); last == nil || last.ScrapingJobID != want || last.Account != account {
			c.errorf("the last job of account %q's sitemap is %+v, want job %d", account, last, want)
		}
	}

	c.must("recording the deletion", c.sink.SetCloudDeleted(c.ctx, c.job))
	deleted, _ := c.published()
	if deleted.CloudDeletedAt == nil {
		c.errorf("the deletion in the cloud was not recorded")
		return
	}
	c.must("recording the deletion twice", c.sink.SetCloudDeleted(c.ctx, c.job))
	if twice, _ := c.published(); twice.CloudDeletedAt == nil || !twice.CloudDeletedAt.Equal(*deleted.CloudDeletedAt) {
		c.errorf("recording the deletion again changed its time")
	}

	// From an archived file: the deletion stays recorded. A stopped job is not the
	// sitemap's last one.
	stopped := c.request(2, 10)
	stopped.Job.Status, stopped.CloudDeletedAt = "stopped", deleted.CloudDeletedAt
	c.imports(stopped)
	restored, _ := c.published()
	if restored.CloudDeletedAt == nil || !restored.CloudDeletedAt.Equal(*deleted.CloudDeletedAt) {
		c.errorf("a restored import's job was deleted at %v, want %v", restored.CloudDeletedAt, deleted.CloudDeletedAt)
	}
	c.equal("the job's status", restored.Status, "stopped")
	if last := c.last(request.Job.Account); last != nil {
		c.errorf("the last finished job of a sitemap has status %s", last.Status)
	}
}

func announced(c *check) {
	var first, before int64
	for i, kind := range []sink.PublicationKind{sink.FirstImport, sink.Reimport, sink.Restore} {
		request := c.request(i+1, 10)
		request.Announce, request.Restored = kind != sink.Reimport, kind == sink.Restore
		attempt := c.begin(request)
		c.must("committing", commit(c.ctx, attempt, batch(attempt, i+1, 1, 10)))
		if _, err := c.sink.Publication(c.ctx, attempt.ID()); err == nil {
			c.errorf("an import that is not published has a publication")
		}
		c.must("publishing", attempt.Publish(c.ctx, func() {}))
		publication, err := c.sink.Publication(c.ctx, attempt.ID())
		c.must("reading the publication", err)
		published, _ := c.published()
		job := request.Job
		c.equal("the publication", *publication, sink.Publication{
			ScrapingJobID: job.ScrapingJobID, Account: job.Account, SitemapID: job.SitemapID, SitemapName: job.SitemapName, CustomID: job.CustomID, Status: job.Status,
			ImportID: attempt.ID(), ReplacedImportID: before, Kind: kind, Counts: sink.Counts{Records: 10},
			Columns: publication.Columns, PublishedAt: published.PublishedAt.UTC(),
		})
		if len(publication.Columns) > 0 {
			c.equal("its columns", publication.Columns, []string{"pass", "number", "text"})
		}
		c.equal("Unannounced", published.Unannounced, request.Announce)
		for range 2 {
			c.must("recording that it is announced", c.sink.SetAnnounced(c.ctx, attempt.ID(), "nobody listens"))
		}
		published, _ = c.published()
		c.equal("Unannounced after that", published.Unannounced, false)
		if problem := c.begin(request).Problem(); strings.Count(problem, "nobody listens") != 1 {
			c.errorf("the import's problem is %q", problem)
		}
		first, before = cmp.Or(first, attempt.ID()), attempt.ID()
	}
	replaced, err := c.sink.Publication(c.ctx, first)
	c.must("reading the publication of the replaced import", err)
	c.equal("the kind of the replaced import", replaced.Kind, sink.FirstImport)
}

func concurrent(c *check) {
	var running sync.WaitGroup
	jobs := make([]*check, 4)
	for i := range jobs {
		jobs[i] = &check{ctx: c.ctx, sink: c.sink, read: c.read, job: 50 + int64(i)}
		running.Go(func() {
			one := jobs[i]
			for pass := 1; pass <= 3; pass++ {
				one.publish(pass, 100*int64(pass))
				one.sees("after publishing", pass, 100*int64(pass))
			}
			one.removed(2)
		})
	}
	running.Wait()
	for _, one := range jobs {
		c.problems = append(c.problems, one.problems...)
	}
}
