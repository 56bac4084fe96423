package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Files keeps records as JSON lines in a folder, and does only what a sink must do:
//
//	imports.json       all imports, replaced in one step by every change
//	imports/7.jsonl    the records of import 7; only the size in imports.json counts
//	jobs/1234.jsonl    what readers see of job 1234: a link to its published import
//
// It is for one worker, whose mutex is the only lock. A sink for several keeps in a
// database what imports.json has.
type Files struct {
	dir string

	mu      sync.Mutex
	imports []*fileImport // by ID, from 1 on
}

// fileImport is an import as imports.json has it.
type fileImport struct {
	ID            int64
	Job           sink.ScrapingJob
	WorkflowRunID string
	Pass          int
	RequestedAt   time.Time
	Bytes         int64
	SHA256        string
	Restored      bool
	Announce      bool

	Token       int64  // the fencing token: that of the latest attempt
	State       string // importing, published, replaced or abandoned
	Removed     bool
	Checkpoint  sink.Checkpoint
	Size        int64 // of the records' file at the checkpoint
	Reasons     []sink.Reason
	StartedAt   time.Time
	PublishedAt time.Time
	DeletedAt   *time.Time // in the cloud
	Replaced    int64      // ID of the import published before, 0 for none
	Announced   bool
	Problem     string
}

// record is a line of a records' file.
type record struct {
	Number int64           `json:"record_number"`
	Data   json.RawMessage `json:"data"`
}

// OpenFiles opens the folder, and creates it if it does not exist.
func OpenFiles(dir string) (*Files, error) {
	for _, sub := range []string{"imports", "jobs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o750); err != nil {
			return nil, err
		}
	}
	f := &Files{dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, "imports.json"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &f.imports); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, each := range f.imports { // a crash may have come before the link
		if each.State == "published" {
			if err := f.link(each); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// save makes the imports durable. Like all methods in lower case, it is called with the
// lock held.
func (f *Files) save() error {
	text, err := json.Marshal(f.imports)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(f.dir, "imports.json"), func(name string) error {
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		_, err = file.Write(text)
		return errors.Join(err, file.Sync(), file.Close())
	})
}

// change makes a change durable, or undoes it.
func (f *Files) change(apply func()) error {
	var before []fileImport
	for _, each := range f.imports {
		before = append(before, *each)
	}
	apply()
	err := f.save()
	if err != nil {
		f.imports = f.imports[:len(before)]
		for i, each := range f.imports {
			*each = before[i]
		}
	}
	return err
}

// replaceFile has write make a file, and renames it to name, durably.
func replaceFile(name string, write func(name string) error) error {
	temporary := name + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := write(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes names in a folder durable.
func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// link shows readers the import.
func (f *Files) link(i *fileImport) error {
	return replaceFile(filepath.Join(f.dir, "jobs", fmt.Sprintf("%d.jsonl", i.Job.ScrapingJobID)), func(name string) error {
		return os.Symlink(filepath.Join("..", "imports", fmt.Sprintf("%d.jsonl", i.ID)), name)
	})
}

func (f *Files) recordsOf(i *fileImport) string {
	return filepath.Join(f.dir, "imports", fmt.Sprintf("%d.jsonl", i.ID))
}

func (f *Files) published(scrapingJobID int64) *fileImport {
	for _, each := range f.imports {
		if each.Job.ScrapingJobID == scrapingJobID && each.State == "published" {
			return each
		}
	}
	return nil
}

// BeginImport implements [sink.RecordSink].
func (f *Files) BeginImport(_ context.Context, request sink.ImportRequest) (sink.Import, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ofJob := func(i *fileImport) bool { return i.Job.ScrapingJobID == request.Job.ScrapingJobID }
	if slices.ContainsFunc(f.imports, func(i *fileImport) bool { return ofJob(i) && i.RequestedAt.After(request.RequestedAt) }) {
		return nil, sink.ErrSuperseded
	}
	var same *fileImport
	err := f.change(func() {
		for _, other := range f.imports {
			switch {
			case !ofJob(other):
			case other.State != "abandoned" && other.WorkflowRunID == request.WorkflowRunID && other.Pass == request.Pass &&
				other.Bytes == request.Bytes && other.SHA256 == request.SHA256:
				same = other
			case other.State == "importing":
				other.State = "abandoned"
			}
		}
		if same == nil {
			same = &fileImport{
				ID: int64(len(f.imports) + 1), Job: request.Job, WorkflowRunID: request.WorkflowRunID, Pass: request.Pass, RequestedAt: request.RequestedAt,
				Bytes: request.Bytes, SHA256: request.SHA256, Restored: request.Restored, Announce: request.Announce,
				State: "importing", StartedAt: time.Now(), DeletedAt: request.CloudDeletedAt,
			}
			f.imports = append(f.imports, same)
		}
		same.Token++
	})
	if err != nil {
		return nil, err
	}
	if same.State == "published" { // the attempt before may have failed at the link
		err = f.link(same)
	}
	return &attempt{files: f, of: same, token: same.Token}, err
}

// PublishedImports implements [sink.RecordSink].
func (f *Files) PublishedImports(_ context.Context, scrapingJobIDs []int64) (map[int64]sink.PublishedImport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	imports := map[int64]sink.PublishedImport{}
	for _, id := range scrapingJobIDs {
		if published := f.published(id); published != nil {
			imports[id] = published.asPublished()
		}
	}
	return imports, nil
}

func (i *fileImport) asPublished() sink.PublishedImport {
	return sink.PublishedImport{
		ScrapingJob: i.Job, Counts: i.Checkpoint.Counts, ImportID: i.ID, Bytes: i.Bytes, SHA256: i.SHA256,
		PublishedAt: i.PublishedAt, CloudDeletedAt: i.DeletedAt, Unannounced: i.Announce && !i.Announced,
	}
}

// LastOfSitemap implements [sink.RecordSink].
func (f *Files) LastOfSitemap(_ context.Context, account, sitemapName string) (last *sink.PublishedImport, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range f.imports {
		if each.State == "published" && each.Job.Account == account && each.Job.SitemapName == sitemapName && each.Job.Status == "finished" &&
			(last == nil || each.PublishedAt.After(last.PublishedAt)) {
			published := each.asPublished()
			last = &published
		}
	}
	return last, nil
}

// CountPublished implements [sink.RecordSink]: it counts what the file has.
func (f *Files) CountPublished(_ context.Context, scrapingJobID, importID int64) (counts sink.Counts, published bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.published(scrapingJobID)
	if of == nil || of.ID != importID {
		return counts, false, nil
	}
	counts, counts.Records = of.Checkpoint.Counts, 0
	err = readRecords(f.recordsOf(of), func(record) { counts.Records++ })
	return counts, true, err
}

// Read returns what readers see of a job, by record number; nil if nothing is published.
func (f *Files) Read(scrapingJobID int64) (records map[int64]json.RawMessage, err error) {
	err = readRecords(filepath.Join(f.dir, "jobs", fmt.Sprintf("%d.jsonl", scrapingJobID)), func(r record) {
		if records == nil {
			records = map[int64]json.RawMessage{}
		}
		records[r.Number] = r.Data
	})
	return records, err
}

// readRecords reads none where there is no file.
func readRecords(name string, read func(record)) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(bufio.NewReader(file))
	for decoder.More() {
		var r record
		if err := decoder.Decode(&r); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		read(r)
	}
	return nil
}

// Publication implements [sink.RecordSink].
func (f *Files) Publication(_ context.Context, importID int64) (*sink.Publication, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of, kind := f.imports[importID-1], sink.FirstImport
	switch {
	case of.PublishedAt.IsZero():
		return nil, fmt.Errorf("import %d was never published", importID)
	case of.Restored:
		kind = sink.Restore
	case of.Replaced != 0:
		kind = sink.Reimport
	}
	return &sink.Publication{
		ScrapingJobID: of.Job.ScrapingJobID, Account: of.Job.Account, SitemapID: of.Job.SitemapID, SitemapName: of.Job.SitemapName,
		CustomID: of.Job.CustomID, Status: of.Job.Status, ImportID: of.ID, ReplacedImportID: of.Replaced, Kind: kind,
		Counts: of.Checkpoint.Counts, PublishedAt: of.PublishedAt.UTC(),
	}, nil
}

// SetAnnounced implements [sink.RecordSink].
func (f *Files) SetAnnounced(_ context.Context, importID int64, problem string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.imports[importID-1]
	return f.change(func() {
		of.Announced = true
		if !strings.Contains(of.Problem, problem) {
			of.Problem = strings.TrimPrefix(of.Problem+"; "+problem, "; ")
		}
	})
}

// SetCloudDeleted implements [sink.RecordSink].
func (f *Files) SetCloudDeleted(_ context.Context, scrapingJobID int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.change(func() {
		if published := f.published(scrapingJobID); published != nil && published.DeletedAt == nil {
			now := time.Now()
			published.DeletedAt = &now
		}
	})
}

func (i *fileImport) unneeded() bool {
	return !i.Removed && (i.State == "replaced" || i.State == "abandoned")
}

// JobsWithUnneededRecords implements [sink.RecordSink].
func (f *Files) JobsWithUnneededRecords(context.Context) (jobs []int64, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range f.imports {
		if each.unneeded() {
			jobs = append(jobs, each.Job.ScrapingJobID)
		}
	}
	slices.Sort(jobs)
	return slices.Compact(jobs), nil
}

// RemoveUnneeded implements [sink.RecordSink].
func (f *Files) RemoveUnneeded(_ context.Context, scrapingJobID int64, _ func(int64)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var removed []*fileImport
	for _, each := range f.imports {
		if each.Job.ScrapingJobID != scrapingJobID || !each.unneeded() {
			continue
		}
		if err := os.Remove(f.recordsOf(each)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		removed = append(removed, each)
	}
	return f.change(func() {
		for _, each := range removed {
			each.Removed = true
		}
	})
}

// UnfinishedImports implements [sink.RecordSink].
func (f *Files) UnfinishedImports(context.Context) (unfinished []sink.UnfinishedImport, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range f.imports {
		if each.State == "importing" {
			unfinished = append(unfinished, sink.UnfinishedImport{
				ImportID: each.ID, ScrapingJobID: each.Job.ScrapingJobID, WorkflowRunID: each.WorkflowRunID, StartedAt: each.StartedAt,
			})
		}
	}
	return unfinished, nil
}

// AbandonImport implements [sink.RecordSink].
func (f *Files) AbandonImport(_ context.Context, importID int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.change(func() {
		if each := f.imports[importID-1]; each.State == "importing" {
			each.State = "abandoned"
		}
	})
}
