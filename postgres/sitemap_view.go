package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// sitemapView is a row of scrapehaul.sitemap_views. It describes a sitemap's view in schema
// sitemaps, with the records of all published imports and each column as text, and the one in
// schema sitemaps_latest, with the records of the latest job.
type sitemapView struct {
	Account     string
	SitemapName string         `db:"sitemap_name"`
	ViewName    string         `db:"view_name"`
	FactNames   pq.StringArray `db:"fact_names"` // of facts, in their order
	Columns     pq.StringArray `db:"columns"`
	ColumnNames pq.StringArray `db:"column_names"`
	InView      int            `db:"in_view"`  // how many of the columns
	IsThere     bool           `db:"is_there"` // without a problem
	// Key lists the scraped columns that identify a record within a job.
	Key pq.StringArray `db:"key"`
}

// ofRecord are a view's first columns, which identify the record. facts are columns of its job,
// in the order in which versions added them. In a new view they come next. A view of an earlier
// version gets them at its end, with a number if a column already has the name.
var (
	ofRecord = []string{"scrapingjob_id", "record_number", "imported_at"}
	facts    = []string{"account", "time_created", "scraping_duration"}
)

const selectView = `
SELECT view_name, columns, column_names, fact_names, in_view, key,
       problem IS NULL AND to_regclass(format('sitemaps.%I', view_name)) IS NOT NULL
           AND (to_regnamespace('sitemaps_latest') IS NULL OR to_regclass(format('sitemaps_latest.%I', view_name)) IS NOT NULL) AS is_there
FROM scrapehaul.sitemap_views WHERE account = $1 AND sitemap_name = $2`

// shareView locks the row against removal of old imports, lockView also against changes. Going
// from shareView to lockView does not wait for other transactions that have used shareView.
const (
	shareView = selectView + ` FOR KEY SHARE`
	lockView  = selectView + ` FOR NO KEY UPDATE`
)

// viewNamesLock is the key of the advisory lock that lets one transaction at a time name a new
// view: "sitemaps" in ASCII.
const viewNamesLock int64 = 0x736974656d617073

const selectViewNames = `SELECT view_name FROM scrapehaul.sitemap_views`

const insertView = `INSERT INTO scrapehaul.sitemap_views (account, sitemap_name, view_name) VALUES ($1, $2, $3)`

const updateView = `
UPDATE scrapehaul.sitemap_views
SET columns = coalesce($3::text[], '{}'), column_names = coalesce($4::text[], '{}'), fact_names = $5, in_view = $6, problem = nullif($7, ''),
    key = coalesce($8::text[], '{}'), refreshed_at = CASE WHEN $7 = '' THEN now() ELSE refreshed_at END
WHERE account = $1 AND sitemap_name = $2`

const setKey = `UPDATE scrapehaul.sitemap_views SET key = coalesce($3::text[], '{}') WHERE account = $1 AND sitemap_name = $2`

// refreshView adds columns to the sitemap's view, creating it if necessary. If PostgreSQL refuses
// that, the import is still published; the reason is stored in scrapehaul.sitemap_views and
// returned as problem.
//
// With rowsOnly it neither creates nor changes a view, as there are no records to show.
//
// The transaction must not take further locks: other imports of the sitemap wait for the row
// that it holds.
func (s *Store) refreshView(ctx context.Context, tx transaction, account, sitemapName string, columns []string, rowsOnly bool) (problem string, err error) {
	key := pq.StringArray(s.mappings.Key(account, sitemapName))
	view := &sitemapView{Account: account, SitemapName: sitemapName}
	err = tx.GetContext(ctx, view, shareView, account, sitemapName)
	if err == nil && slices.Equal(view.Key, key) && (rowsOnly || view.has(columns)) {
		return "", nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	if view, err = findView(ctx, tx, account, sitemapName); err != nil {
		return "", err
	}
	if rowsOnly {
		_, err = tx.ExecContext(ctx, setKey, account, sitemapName, key)
		return "", err
	}
	if !view.has(columns) {
		if problem, err = view.replace(ctx, tx); err != nil {
			return "", err
		}
	}
	if problem == "" {
		view.InView = len(view.Columns)
	}
	_, err = tx.ExecContext(ctx, updateView, account, sitemapName, view.Columns, view.ColumnNames, view.FactNames, view.InView, problem, key)
	return problem, err
}

// findView locks the sitemap's row, creating it if necessary.
func findView(ctx context.Context, tx transaction, account, sitemapName string) (*sitemapView, error) {
	view := &sitemapView{Account: account, SitemapName: sitemapName}
	err := tx.GetContext(ctx, view, lockView, account, sitemapName)
	if errors.Is(err, sql.ErrNoRows) {
		if _, err = tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, viewNamesLock); err == nil {
			err = tx.GetContext(ctx, view, lockView, account, sitemapName) // another transaction may have created it
		}
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return view, err
	}
	var names []string
	if err := tx.SelectContext(ctx, &names, selectViewNames); err != nil {
		return nil, err
	}
	view.ViewName = identifier(sink.QualifiedSitemap(account, sitemapName), func(name string) bool { return slices.Contains(names, name) })
	_, err = tx.ExecContext(ctx, insertView, account, sitemapName, view.ViewName)
	return view, err
}

// has reports whether the view exists with the columns, and adds them to the row's columns.
func (v *sitemapView) has(columns []string) bool {
	complete := len(v.FactNames) >= len(facts) // a later version has more
	v.add(columns)
	return complete && v.IsThere && v.InView == len(v.Columns)
}

// add adds missing facts and columns and names them.
func (v *sitemapView) add(columns []string) {
	taken := func(name string) bool {
		return slices.Contains(ofRecord, name) || slices.Contains(v.FactNames, name) || slices.Contains(v.ColumnNames, name)
	}
	for len(v.FactNames) < len(facts) {
		v.FactNames = append(v.FactNames, identifier(facts[len(v.FactNames)], taken))
	}
	for _, column := range columns {
		if len(v.Columns) == maxColumns {
			return
		}
		if slices.Contains(v.Columns, column) {
			continue
		}
		v.Columns = append(v.Columns, column)
		v.ColumnNames = append(v.ColumnNames, identifier(column, taken))
	}
}

// Replacing a view waits for its readers' transactions, and blocks new readers in the meantime.
const waitForReaders = `SELECT set_config('lock_timeout', '2s', true)`

const selectPresent = `
SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(format('sitemaps.%I', $1::text)) AND attnum > 0 ORDER BY attnum`

// hasLatest selects false if an administrator created only the other schemas.
const hasLatest = `SELECT to_regnamespace('sitemaps_latest') IS NOT NULL`

// replace replaces both views, or returns why PostgreSQL refuses.
func (v *sitemapView) replace(ctx context.Context, tx transaction) (problem string, err error) {
	var latest bool
	if err := tx.GetContext(ctx, &latest, hasLatest); err != nil {
		return "", err
	}
	var present []string
	if err := tx.SelectContext(ctx, &present, selectPresent, v.ViewName); err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `SAVEPOINT sitemap_view; `+waitForReaders); err != nil {
		return "", err
	}
	_, err = tx.ExecContext(ctx, v.definition(present, latest))
	refused := pq.As(err)
	if err == nil || refused == nil || refused.Code.Class() == pqerror.ClassOperatorIntervention {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT sitemap_view`); err != nil {
		return "", err
	}
	return fmt.Sprintf("making view sitemaps.%s: %s", pq.QuoteIdentifier(v.ViewName), refused.Message), nil
}

// definition returns the SQL for both views, with new columns last, as CREATE OR REPLACE VIEW
// requires.
func (v *sitemapView) definition(present []string, latest bool) string {
	names, value := slices.Concat(ofRecord, v.FactNames[:len(facts)], v.ColumnNames), map[string]string{}
	for i, name := range slices.Concat(ofRecord, facts) {
		value[names[i]] = name
	}
	for i, column := range v.Columns {
		value[v.ColumnNames[i]] = valueOf(column)
	}
	place := map[string]int{}
	for i, name := range present {
		place[name] = i - len(present) // before new columns
	}
	slices.SortStableFunc(names, func(a, b string) int { return place[a] - place[b] })
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = value[name] + " AS " + pq.QuoteIdentifier(name)
	}
	view, sitemap := pq.QuoteIdentifier(v.ViewName), []any{pq.QuoteLiteral(v.SitemapName), pq.QuoteLiteral(v.Account)}
	definition := fmt.Sprintf("CREATE OR REPLACE VIEW sitemaps.%s AS\nSELECT %s\n", view, strings.Join(values, ",\n       ")) +
		fmt.Sprintf(unpackedRecords, sitemap...)
	if latest {
		definition += fmt.Sprintf(";\nCREATE OR REPLACE VIEW sitemaps_latest.%s AS\nSELECT %s\nFROM sitemaps.%[1]s AS record\n", view, nameList("record.", names)) +
			fmt.Sprintf(ofLatestJob, sitemap...)
	}
	return definition
}

// ofLatestJob limits a sitemap's records to its finished, published job with the highest ID. An
// older job never becomes the latest, however late it is imported.
const ofLatestJob = `WHERE record.scrapingjob_id = (
    SELECT max(job.scrapingjob_id) FROM scrapehaul.scraping_jobs AS job
    WHERE job.sitemap_name = %s AND job.account = %s AND job.status = 'finished' AND job.published_import_id IS NOT NULL
)`

// unpackedRecords decompresses each record once instead of once per column: || '{}' yields the
// same record, decompressed. The volatile function keeps the planner from inlining the
// subquery, which would evaluate data for each use.
const unpackedRecords = `FROM (
    SELECT job.scrapingjob_id, record.record_number, job.published_at AS imported_at, job.account, job.time_created, job.scraping_duration,
           record.data || '{}' AS data,
           clock_timestamp() AS not_merged
    FROM scrapehaul.scraping_jobs AS job
    JOIN scrapehaul.import_records AS record ON record.import_id = job.published_import_id
    WHERE job.sitemap_name = %s AND job.account = %s
) AS unpacked`

// valueOf reads a column from the unpacked record, in either spelling, as scraped_records
// does.
func valueOf(column string) string {
	first, second := mapping.Spellings(column)
	value := "unpacked.data ->> " + pq.QuoteLiteral(first)
	if first != second {
		value = "coalesce(" + value + ", unpacked.data ->> " + pq.QuoteLiteral(second) + ")"
	}
	return value
}

// maxIdentifier is PostgreSQL's limit for names, in bytes.
const maxIdentifier = 63

// identifier makes a name from any text. It truncates long text, and adds a number if the name is
// taken.
func identifier(text string, taken func(string) bool) string {
	if text == "" {
		text = "unnamed"
	}
	name := cut(text, maxIdentifier)
	for n := 2; taken(name); n++ {
		number := fmt.Sprintf("_%d", n)
		name = cut(text, maxIdentifier-len(number)) + number
	}
	return name
}

// cut shortens text to at most that many bytes without splitting a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// Rows without any columns have no view yet.
const selectViewsToRefresh = `
SELECT account, sitemap_name FROM scrapehaul.sitemap_views AS view
WHERE (problem IS NOT NULL OR in_view < cardinality(columns) OR cardinality(fact_names) < $1
    OR to_regnamespace('sitemaps_latest') IS NOT NULL AND to_regclass(format('sitemaps_latest.%I', view_name)) IS NULL)
  AND (fact_names <> '{}' OR columns <> '{}' OR EXISTS (
      SELECT FROM scrapehaul.scraping_jobs AS job
      JOIN scrapehaul.imports AS import ON import.import_id = coalesce(job.published_import_id, job.removed_import_id)
      WHERE job.account = view.account AND job.sitemap_name = view.sitemap_name AND NOT import.rows_only))
ORDER BY account, sitemap_name`

// RefreshSitemapViews retries views that failed to be created or refreshed when an import was
// published, and replaces views of earlier versions. It returns a sentence for each remaining
// problem. Then it compares imports that were not compared with the previous ones yet. It calls
// progress after each view, as it may have to wait for readers.
func (s *Store) RefreshSitemapViews(ctx context.Context, progress func()) (problems []string, err error) {
	var sitemaps []sitemapView
	if err := s.db.SelectContext(ctx, &sitemaps, selectViewsToRefresh, len(facts)); err != nil {
		return nil, fmt.Errorf("listing sitemap views to refresh: %w", err)
	}
	for _, sitemap := range sitemaps {
		var problem string
		err := s.inTx(ctx, func(tx transaction) (err error) {
			tx.progress = progress
			problem, err = s.refreshView(ctx, tx, sitemap.Account, sitemap.SitemapName, nil, false)
			return err
		})
		if err != nil {
			return problems, fmt.Errorf("refreshing the view of sitemap %q: %w", sink.QualifiedSitemap(sitemap.Account, sitemap.SitemapName), err)
		}
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	if err := s.compareImports(ctx, 0, compareWithin, progress); ctx.Err() == nil && pq.As(err) != nil {
		problems = append(problems, err.Error())
	} else if err != nil {
		return problems, err
	}
	return problems, nil
}
