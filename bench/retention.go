package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/scrapehaul/scrapehaul/postgres"
)

const (
	retentionYear = 365 // days, each with a job
	retentionKept = 30  // days
)

// A day takes seconds, so autovacuum gets the time of a day: it checks every second, which
// is once or a few times a day instead of 1440 times, and makes none of the pauses with
// which its work, here all of a day's, would be spread over minutes.
var hurryAutovacuum = []string{
	`ALTER SYSTEM SET autovacuum_naptime = '1s'`, `ALTER SYSTEM SET autovacuum_vacuum_cost_delay = 0`, `SELECT pg_reload_conf()`,
}

// nextDay is that what was published is a day older.
const nextDay = `UPDATE scrapehaul.imports SET published_at = published_at - interval '1 day'`

const sizeOfRecords = `SELECT pg_total_relation_size('scrapehaul.import_records') / 1e6` // with its indexes and its TOAST table

// The same work in a new table each day shows how fast the machine is on that day.
const copyAsControl = `
DROP TABLE IF EXISTS bench_control;
CREATE TABLE bench_control (LIKE scrapehaul.import_records INCLUDING ALL);
INSERT INTO bench_control SELECT * FROM scrapehaul.import_records WHERE import_id = (SELECT max(import_id) FROM scrapehaul.imports)`

// year is one of daily jobs of a sitemap.
type year struct {
	*stage
	db      *sqlx.DB
	store   *postgres.Store
	records [][]byte
	// Of each day: the table's size in MB after it, and how many seconds its import took,
	// reading that, and counting the records of all jobs; and the control's copy and reading.
	size, imports, latest, count, copied, plain []float64
}

// measureRetention removes what is over its retention as a worker does, after each import.
func measureRetention(ctx context.Context, s *stage, r *result) error {
	db, _, err := s.MigratedDatabase(ctx, databasePrefix)
	if err != nil {
		return err
	}
	for _, statement := range hurryAutovacuum {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	y := &year{stage: s, db: db, store: postgres.NewStore(db, nil), records: products(s.RetentionRecords, 1)}
	for day := range retentionYear {
		if err := y.live(ctx, day+1); err != nil {
			return fmt.Errorf("day %d: %w", day+1, err)
		}
		if (day+1)%retentionKept == 0 {
			s.step(fmt.Sprintf("day %d: %.0f MB", day+1, y.size[day]))
		}
	}
	y.report(r)
	return nil
}

func (y *year) live(ctx context.Context, day int) error {
	if _, err := y.db.ExecContext(ctx, nextDay); err != nil {
		return err
	}
	for _, of := range []struct {
		seconds *[]float64
		do      func() error
	}{
		{&y.imports, func() error { return y.importJob(ctx, day) }},
		{new([]float64), func() error { return y.remove(ctx) }},
		{&y.copied, func() error {
			_, err := y.db.ExecContext(ctx, copyAsControl)
			return err
		}},
		{&y.plain, func() error { return y.read(ctx, `SELECT * FROM bench_control`) }},
		{&y.latest, func() error { return y.read(ctx, `SELECT * FROM sitemaps_latest.bench`) }},
		{&y.count, func() error { return y.read(ctx, `SELECT count(*) FROM sitemaps.bench`) }},
	} {
		start := time.Now()
		if err := of.do(); err != nil {
			return err
		}
		*of.seconds = append(*of.seconds, time.Since(start).Seconds())
	}
	var size float64
	err := y.db.GetContext(ctx, &size, sizeOfRecords)
	y.size = append(y.size, size)
	return err
}

func (y *year) read(ctx context.Context, query string) error {
	_, err := y.db.ExecContext(ctx, fmt.Sprintf(discarded, query))
	return err
}

func (y *year) importJob(ctx context.Context, day int) error {
	attempt, err := importRecords(ctx, y.store, int64(day), y.records)
	if err != nil {
		return err
	}
	return attempt.Publish(ctx, func() {})
}

func (y *year) remove(ctx context.Context) error {
	old, err := y.store.OldImports(ctx, postgres.Retention{Records: retentionKept * 24 * time.Hour, NeverDeleted: true})
	for _, each := range old {
		_, removing := y.store.RemoveImport(ctx, each, func() {})
		err = errors.Join(err, removing, y.store.RemoveUnneeded(ctx, each.ScrapingJobID, func(int64) {}))
	}
	return err
}

func (y *year) report(r *result) {
	kept := y.size[retentionKept-1]
	t := r.table(fmt.Sprintf("retention: a year of daily jobs of %s records of 520 bytes, of which %d days are kept", thousands(float64(len(y.records))), retentionKept),
		"after day", "table, indexes and TOAST, MB", "of what is kept")
	for _, day := range []int{30, 60, 90, 180, 270, 365} {
		t.row(fmt.Sprint(day), fmt.Sprintf("%.0f", y.size[day-1]), fmt.Sprintf("%.2f ×", y.size[day-1]/kept))
	}
	t.row("the largest", r.figure("largest_mb", "%.0f", slices.Max(y.size)), r.figure("largest_vs_kept", "%.2f ×", slices.Max(y.size)/kept))
	r.set("kept_mb", kept)

	t = r.table("retention: medians of 30 days; against the same work in a new table on the same day", "",
		"seconds, days 31 to 60", "the last 30 days", "against, days 31 to 60", "the last 30 days", "the last take")
	for _, of := range []struct {
		name, title      string
		seconds, control []float64
	}{
		{"import", "an import", y.imports, y.copied}, {"latest", "reading the view of the latest job", y.latest, y.plain},
		{"count", "count(*) of the sitemap's view", y.count, y.plain},
	} {
		against := slices.Clone(of.seconds)
		for day := range against {
			against[day] /= of.control[day]
		}
		before, after := median(against[30:60]), median(against[retentionYear-30:])
		t.row(of.title, fmt.Sprintf("%.3f", median(of.seconds[30:60])), r.figure(of.name+"_s", "%.3f", median(of.seconds[retentionYear-30:])),
			fmt.Sprintf("%.2f ×", before), fmt.Sprintf("%.2f ×", after), r.figure(of.name+"_vs_second_month", "%.2f ×", after/before))
	}
}
