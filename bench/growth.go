package main

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// grown is a database in which jobs of a sitemap are imported as a worker does it.
type grown struct {
	name    string
	db      *sqlx.DB
	store   *postgres.Store // without a mapping, as mapped is with one
	mapped  *postgres.Store
	records [][]byte // of the job
	job     int64
	running sink.Import // its import
}

// growthStep is a part of a job's life. Those that read come after an autovacuum.
type growthStep struct {
	name, title string
	reads       bool
	do          func(context.Context, *grown) error
}

var growthSteps = []growthStep{
	{"import", "import", false, func(ctx context.Context, g *grown) (err error) {
		g.running, err = importRecords(ctx, g.store, g.job, g.records)
		return err
	}},
	{"publish", "publish", false, func(ctx context.Context, g *grown) error { return g.running.Publish(ctx, func() {}) }},
	{"verify", "count before the deletion", false, func(ctx context.Context, g *grown) error {
		_, _, err := g.store.CountPublished(ctx, g.job, g.running.ID())
		return err
	}},
	{"reimport", "re-import, removing the import before", false, func(ctx context.Context, g *grown) error {
		return g.importAgain(ctx, g.store)
	}},
	{"view", "the whole view of one job", true, reading(`SELECT * FROM sitemaps.bench WHERE scrapingjob_id = %d`)},
	{"latest", "the view of the latest job", true, reading(`SELECT * FROM sitemaps_latest.bench`)},
	{"filter", "one column of a job, with a filter", true, reading(`SELECT product FROM sitemaps.bench WHERE scrapingjob_id = %d AND price = '$88.99'`)},
	{"count", "count(*) of a job", true, reading(`SELECT count(*) FROM sitemaps.bench WHERE scrapingjob_id = %d`)},
	// Other records than before, which are rows of their own.
	{"upsert", "import and publish with a mapping: upsert", false, func(ctx context.Context, g *grown) error {
		g.job++
		return g.importAgain(ctx, g.mapped)
	}},
}

func reading(query string) func(context.Context, *grown) error {
	return func(ctx context.Context, g *grown) error {
		of := query
		if slices.Contains([]byte(query), '%') {
			of = fmt.Sprintf(query, g.job)
		}
		_, err := g.db.ExecContext(ctx, fmt.Sprintf(discarded, of))
		return err
	}
}

func (g *grown) importAgain(ctx context.Context, store *postgres.Store) error {
	again, err := importRecords(ctx, store, g.job, g.records)
	if err == nil {
		err = again.Publish(ctx, func() {})
	}
	if err == nil {
		err = store.RemoveUnneeded(ctx, g.job, func(int64) {})
	}
	return err
}

// importRecords imports the records of a job of sitemap bench, in its own run.
func importRecords(ctx context.Context, store *postgres.Store, job int64, records [][]byte) (sink.Import, error) {
	n := int64(len(records))
	attempt, err := store.BeginImport(ctx, sink.ImportRequest{
		Job:           sink.ScrapingJob{ScrapingJobID: job, SitemapName: "bench", Status: "finished", StoredRecordCount: n},
		WorkflowRunID: time.Now().String(), RequestedAt: time.Now(), Bytes: n, SHA256: "bench",
	})
	if err != nil {
		return nil, err
	}
	batch, last := attempt.NewBatch(), 0
	return attempt, attempt.CommitBatches(ctx, 1, func(context.Context) (sink.Batch, error) {
		if last == len(records) {
			return nil, nil
		}
		for end := min(last+workflows.DefaultSettings().BatchRecords, len(records)); last < end; last++ {
			batch.Add(int64(last+1), records[last])
		}
		batch.EndsAt(int64(last), int64(last))
		return batch, nil
	}, func(done sink.Batch) { done.Reset() })
}

func products(n int, seed int64) (records [][]byte) {
	for lines := lineScanner(webscrapertest.Products(n, seed).Open()); lines.Scan(); {
		records = append(records, slices.Clone(lines.Bytes()))
	}
	return records
}

// firstMeasured is the ID of a job that comes after those that fill the database.
const firstMeasured = 1_000_000

// readTimes is how often something is read: it takes some milliseconds.
const readTimes = 5

// mostMapped is by how much the mapped table has more rows than a job brings, at most.
const mostMapped = 100

func measureGrowth(ctx context.Context, s *stage, r *result) error {
	if err := s.apart("records", func(s *stage) error { return measureGrown(ctx, s, r) }); err != nil {
		return err
	}
	return measureOperators(ctx, s, r)
}

// measureGrown compares what a job costs in a database that has many with the same work in
// an empty one on the same server. They take turns, warmed up.
func measureGrown(ctx context.Context, s *stage, r *result) error {
	db, databaseURL, err := s.MigratedDatabase(ctx, databasePrefix)
	if err != nil {
		return err
	}
	for _, statement := range hurryAutovacuum {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	mappings, err := mapping.Parse("bench", fmt.Appendf(nil, mappingFile, "upsert", true))
	if err != nil {
		return err
	}
	control, err := s.newDatabase(ctx, db, databaseURL)
	if err != nil {
		return err
	}
	both := []*grown{{name: "empty", db: control}, {name: "full", db: db}}
	for _, g := range both {
		g.store, g.mapped = postgres.NewStore(g.db, nil), postgres.NewStore(g.db, mappings)
		if err := postgres.PrepareMappedTables(ctx, g.db, mappings); err != nil {
			return err
		}
	}
	t := r.table(fmt.Sprintf("growth: a job of %s records of 520 bytes next to jobs of %s records of %d bytes, all of one sitemap, against an empty database;\n"+
		"rows before the upsert: at most %d times as many; PostgreSQL's CPU time in brackets; medians, rounds: %d", thousands(float64(s.GrowthRecords)),
		thousands(float64(s.GrowthRecords)), s.GrowthRecordBytes, mostMapped, s.Rounds), "seconds")
	for _, step := range growthSteps {
		t.row(step.title)
	}
	if _, err := s.takeTurns(ctx, both, firstMeasured-2); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	there := 0
	for _, jobs := range s.GrowthJobs {
		s.step(fmt.Sprintf("Filling in jobs %d to %d", there+1, jobs))
		if err := s.fill(ctx, db, there, jobs); err != nil {
			return err
		}
		there = jobs
		measured, err := s.medians(func(round int) (figures, error) {
			return s.takeTurns(ctx, both, int64(firstMeasured+10*jobs+2*round))
		})
		if err != nil {
			return fmt.Errorf("%d jobs: %w", jobs, err)
		}
		t.rows[0] = append(t.rows[0], "empty", fmt.Sprintf("%s jobs", thousands(float64(jobs))), "times")
		for n, step := range growthSteps {
			full, empty := measured[step.name+".full"], measured[step.name+".empty"]
			key := fmt.Sprintf("jobs_%d.%s", jobs, step.name)
			t.rows[n+1] = append(t.rows[n+1], fmt.Sprintf("%.3f", empty), r.figure(key+"_seconds", "%.3f", full),
				r.figure(key+"_vs_empty", "%.2f ×", full/empty)+
					fmt.Sprintf(" (%.2f ×)", measured[step.name+".full_cpu"]/max(0.01, measured[step.name+".empty_cpu"])))
		}
	}
	return nil
}

// newDatabase makes another database on the same server, which is dropped with it.
func (s *stage) newDatabase(ctx context.Context, db *sqlx.DB, databaseURL string) (*sqlx.DB, error) {
	target, err := url.Parse(databaseURL)
	if err != nil {
		return nil, err
	}
	target.Path += "_control"
	name := pq.QuoteIdentifier(target.Path[1:])
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return nil, err
	}
	s.OnStop(func() error {
		_, err := db.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+name)
		return err
	})
	control, err := postgres.Open(target.String())
	if err != nil {
		return nil, err
	}
	s.OnStop(control.Close)
	_, err = postgres.Migrate(ctx, control)
	return control, err
}

// takeTurns takes the steps of the job, and of the one after it, in one database after
// the other.
func (s *stage) takeTurns(ctx context.Context, both []*grown, job int64) (figures, error) {
	f := figures{}
	for _, g := range both {
		if g.name == "empty" {
			if err := emptyTables(ctx, g.db); err != nil {
				return nil, err
			}
			if _, err := g.db.ExecContext(ctx, `TRUNCATE bench_products`); err != nil {
				return nil, err
			}
		} else if _, err := g.db.ExecContext(ctx, `CHECKPOINT`); err != nil {
			return nil, err
		}
		g.job, g.records = job, products(s.GrowthRecords, job)
		for n, step := range growthSteps {
			if step.reads && !growthSteps[n-1].reads {
				g.awaitAutovacuum(ctx)
			}
			times := 1
			if step.reads {
				times = readTimes
			}
			before, start := g.serverCPU(ctx), time.Now()
			for range times {
				if err := step.do(ctx, g); err != nil {
					return nil, fmt.Errorf("%s, %s: %w", g.name, step.title, err)
				}
			}
			f[step.name+"."+g.name] = time.Since(start).Seconds() / float64(times)
			f[step.name+"."+g.name+"_cpu"] = (g.serverCPU(ctx) - before) / float64(times)
		}
	}
	slices.Reverse(both)
	return f, nil
}

func (g *grown) serverCPU(ctx context.Context) float64 {
	var backend int
	_ = g.db.GetContext(ctx, &backend, `SELECT pg_backend_pid()`) // 0 has no processor
	seconds, _ := childprocess.FamilyCPUSeconds(backend, "postgres")
	return seconds
}

// vacuumed says whether autovacuum has been there since the records came.
const vacuumed = `SELECT n_ins_since_vacuum < $1 AND n_mod_since_analyze < $1 FROM pg_stat_user_tables WHERE relid = 'scrapehaul.import_records'::regclass`

// awaitAutovacuum waits for autovacuum, which checks every second, and may find nothing to do.
func (g *grown) awaitAutovacuum(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = waitFor(within, 100*time.Millisecond, func() (done bool, err error) {
		return done, g.db.GetContext(within, &done, vacuumed, len(g.records))
	})
}

const (
	// fillJobs makes published jobs $1 to $2 of sitemap bench, of $3 records $4 each.
	fillJobs = `
WITH import AS (
    INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, bytes, sha256, state, records, published_at)
    SELECT id, 'bench', 1, now(), $3, '', 'published', $3, now() FROM generate_series($1::bigint, $2) AS id
    RETURNING import_id, scrapingjob_id
), job AS (
    INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, sitemap_name, status, stored_record_count, published_import_id, published_at, cloud_deleted_at)
    SELECT scrapingjob_id, 'bench', 'finished', $3, import_id, now(), now() FROM import
)
INSERT INTO scrapehaul.import_records (import_id, record_number, data)
SELECT import_id, number, $4::jsonb FROM import CROSS JOIN generate_series(1, $3::bigint) AS number`

	fillMapped = `
INSERT INTO bench_products (scrapingjob_id, scraped, product)
SELECT $1, '1500000000-' || $1::bigint * $2 + number, 'a product' FROM generate_series(1, $2::bigint) AS number`
)

// fill makes the jobs after the first there up to the last one.
func (s *stage) fill(ctx context.Context, db *sqlx.DB, there, last int) error {
	record := fmt.Sprintf(`{"web-scraper-order": "1", "product": "%*s"}`, max(1, s.GrowthRecordBytes-44), "x")
	err := inParallel(runtime.NumCPU(), last-there, func(i int) error {
		job := there + i + 1
		_, err := db.ExecContext(ctx, fillJobs, job, job, s.GrowthRecords, record)
		if err == nil && job <= mostMapped {
			_, err = db.ExecContext(ctx, fillMapped, job, s.GrowthRecords)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("filling: %w", err)
	}
	_, err = db.ExecContext(ctx, `VACUUM ANALYZE`)
	return err
}
