package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importPart measures the loading of a spooled file. All contenders write the
// same records into scrapehaul.import_records (import_id bigint, record_number
// bigint, data jsonb, with its primary key), emptied and after a CHECKPOINT.
// The programs are timed from their start to their end, our activity from its
// call to its return, in a worker that has imported before: it keeps its
// connections, and PostgreSQL's process behind a new one has yet to map all the
// shared memory that it uses. The first import of a new worker is timed too.
type importPart struct {
	*stage
	db           *sqlx.DB
	databaseURL  string
	psql         string // its file
	peers        string // that of the program of bench/peers, or in peersMissing why there is none
	peersMissing string
	// warm is set once something has been loaded.
	warm bool
	// peaks are the peak memory of our process, in MiB, by round.
	peaks []float64
}

func measureImport(ctx context.Context, s *stage, r *result) error {
	p, err := s.importPart(ctx)
	if err != nil {
		return err
	}
	if p.psql, err = findPSQL(); err != nil {
		return err
	}
	p.buildPeers(ctx)
	for _, shape := range shapes(s.Records) {
		if err := p.measure(ctx, shape, p.contenders, func(data *dataset, contenders []contender, seconds figures) {
			p.report(r, shape, data, contenders, seconds)
		}); err != nil {
			return fmt.Errorf("%s: %w", shape.title, err)
		}
	}
	return nil
}

func (s *stage) importPart(ctx context.Context) (p *importPart, err error) {
	p = &importPart{stage: s}
	p.db, p.databaseURL, err = s.MigratedDatabase(ctx, databasePrefix)
	return p, err
}

// measure prepares the records, has the contenders for them take turns, and reports
// their seconds.
func (p *importPart) measure(
	ctx context.Context, shape shape, contendersFor func(*dataset) ([]contender, error), report func(*dataset, []contender, figures),
) (err error) {
	p.step("Preparing " + shape.title)
	data, err := prepare(shape, p.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data.dir)) }()
	contenders, err := contendersFor(data)
	if err != nil {
		return err
	}
	if !p.warm {
		p.step("Loading once before the rounds: a new server must create its WAL files first")
		if _, err := contenders[0].once(ctx); err != nil {
			return err
		}
		p.warm = true
	}
	p.peaks = nil
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	report(data, contenders, seconds)
	return nil
}

func (p *importPart) report(r *result, shape shape, data *dataset, contenders []contender, seconds figures) {
	megabytes, records := float64(data.bytes)/1e6, float64(data.records)
	t := r.table(fmt.Sprintf("import: %s, %.0f MB; medians, rounds: %d", shape.title, megabytes, p.Rounds),
		"", "seconds", "MB/s", "records/s", "we are")
	r.against(t, shape.key, contenders, seconds, func(seconds float64) []string {
		return []string{fmt.Sprintf("%.1f", megabytes/seconds), thousands(records / seconds)}
	})
	r.set(shape.key+"mb_per_second", megabytes/seconds["ours"])
	r.set(shape.key+"records_per_second", records/seconds["ours"])
	r.set(shape.key+"records", records)
	r.set(shape.key+"bytes", float64(data.bytes))
	t.row("our process's peak memory", r.setPeakRSS(shape.key+"worker_rss_mib", median(p.peaks)))
}

func (p *importPart) contenders(data *dataset) ([]contender, error) {
	cores := runtime.NumCPU()
	empty := func(ctx context.Context) error { return emptyTables(ctx, p.db) } // ours do so themselves
	contenders := []contender{
		{name: "ours", title: "ours: the activity ImportRecords", run: func(ctx context.Context) (time.Duration, error) {
			return p.ours(ctx, data, []int64{1, 1})
		}},
		{name: "first_import", title: "the same, first import of a new worker", run: func(ctx context.Context) (time.Duration, error) {
			return p.ours(ctx, data, []int64{1})
		}},
		{name: "psql_copy", title: `psql \copy, one stream`, prepare: empty, run: timed(func(ctx context.Context) error {
			return p.copy(ctx, []string{data.copyFile})
		})},
		{name: "parallel_copy", title: fmt.Sprintf(`psql \copy, %d at a time, split before: the ceiling`, cores), prepare: empty,
			run: timed(func(ctx context.Context) error { return p.copy(ctx, data.splitFiles) })},
		{name: "multi_insert", title: fmt.Sprintf("INSERT of %s rows, one connection", thousands(multiInsertRows)), prepare: empty,
			// The vendor's example done well: as many rows in a statement as pay off, several statements in a transaction.
			run: timed(func(ctx context.Context) error { return p.insert(ctx, data) })},
		p.pgxCopy(data),
	}
	for i, c := range contenders {
		contenders[i].run = func(ctx context.Context) (time.Duration, error) {
			took, err := c.run(ctx)
			if err != nil {
				return 0, err
			}
			return took, p.check(ctx, "scrapehaul.import_records", data.records)
		}
	}
	return contenders, nil
}

// timed times all of the work.
func timed(work func(context.Context) error) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		start := time.Now()
		err := work(ctx)
		return time.Since(start), err
	}
}

// check makes sure that a contender has done its work.
func (p *importPart) check(ctx context.Context, table string, want int) error {
	var found int
	if err := p.db.GetContext(ctx, &found, `SELECT count(*) FROM `+table); err != nil {
		return err
	}
	if found != want {
		return fmt.Errorf("%d records are in table %s, %d were to be loaded", found, table, want)
	}
	return nil
}

// inMemory is where Linux has a file system in memory: what is written there does
// not burden the disk of what is measured next.
const inMemory = "/dev/shm"

// ours imports the records as those of one job after the other and times the last import.
// It empties the tables too, after each download.
func (p *importPart) ours(ctx context.Context, data *dataset, jobs []int64, flags ...string) (took time.Duration, err error) {
	folder := p.dir
	if _, err := os.Stat(inMemory); err == nil {
		folder = inMemory
	}
	spool, err := os.MkdirTemp(folder, "scrapehaul-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spool)) }()
	var inputs []any
	for _, job := range jobs {
		inputs = append(inputs, activities.ImportRecordsInput{
			Job:            sink.ScrapingJob{ScrapingJobID: job, SitemapName: "bench", Status: "finished", StoredRecordCount: int64(data.records)},
			File:           spoolFile,
			Bytes:          data.bytes,
			SHA256:         data.sha256,
			RunID:          "bench",
			Pass:           1,
			RequestedAt:    time.Now(),
			BatchRecords:   workflows.DefaultSettings().BatchRecords,
			MaxRecordBytes: workflows.DefaultSettings().MaxRecordBytes,
		})
	}
	outcome, err := runActivity(ctx, p.databaseURL, "ImportRecords", inputs,
		append(flags, "--spool-dir", spool, "--download", filepath.Join(data.dir, spoolFile))...)
	p.peaks = append(p.peaks, outcome.PeakRSSMiB)
	return time.Duration(outcome.Seconds * float64(time.Second)), err
}
