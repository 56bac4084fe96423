package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// Backfill is the progress of backfilling a mapped table.
type Backfill struct {
	Table string `json:"table"`
	// Imports of the OfImports published imports for the table, with Records of OfRecords
	// records, have been mapped by the present mapping.
	Imports   int64 `json:"imports"`
	OfImports int64 `json:"of_imports"`
	Records   int64 `json:"records"`
	OfRecords int64 `json:"of_records"`
	// Unmapped counts the Records without a row, because they do not fit.
	Unmapped int64 `json:"unmapped,omitempty"`
	// Incomplete counts imports with missing records: they keep their rows. IncompleteJobs
	// are the first of their scraping jobs.
	Incomplete     int64   `json:"incomplete,omitempty"`
	IncompleteJobs []int64 `json:"incomplete_jobs,omitempty"`
}

const mostIncompleteJobs = 20

// In the order in which the first import with a key keeps its row.
const selectForTable = `SELECT ` + importOf + ` ORDER BY job.scrapingjob_id * $1 DESC`

// BackfillMappedTable fills the table of the sitemap's mapping from the records of all
// published imports that belong there and were not mapped by the present mapping yet. The
// rows are exactly those that the imports themselves would have written. Each import is one
// transaction; if interrupted, call it again to continue with the remaining imports. It
// calls progress several times a minute.
func (s *Store) BackfillMappedTable(ctx context.Context, account, sitemapName string, progress func(Backfill)) (at Backfill, err error) {
	of := s.mappings.For(account, sitemapName)
	if of == nil {
		return at, &MappingsError{fmt.Sprintf("this worker's mappings file (MAPPINGS) has no mapping for sitemap %q of account %q", sitemapName, account)}
	}
	defer func() {
		if err != nil && ctx.Err() != nil { // PostgreSQL's error does not say so
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}()
	m := &mappedRows{Mapping: of}
	var sitemaps []sitemap
	incomplete := map[int64]bool{}
	var incompleteJobs []int64
	for at.Table = of.Table.String(); ; {
		var all []otherImport
		if err := s.db.SelectContext(ctx, &all, selectForTable, m.direction()); err != nil {
			return at, fmt.Errorf("listing the published imports: %w", err)
		}
		all = slices.DeleteFunc(all, func(i otherImport) bool {
			of := s.mappingOf(i)
			return of == nil || of.Table != m.Table || incomplete[i.ImportID]
		})
		at = Backfill{Table: at.Table, Incomplete: int64(len(incomplete)), IncompleteJobs: incompleteJobs}
		var due []otherImport
		for _, each := range all {
			at.OfImports, at.OfRecords = at.OfImports+1, at.OfRecords+each.Records
			if s.isMapped(each) {
				at.Imports, at.Records, at.Unmapped = at.Imports+1, at.Records+each.Records, at.Unmapped+each.Unmapped
			} else {
				due = append(due, each)
			}
			if !slices.Contains(sitemaps, each.sitemap) {
				sitemaps = append(sitemaps, each.sitemap)
			}
		}
		if progress(at); len(due) == 0 { // none was imported with another mapping in the meantime either
			break
		}
		for _, each := range due {
			err := s.backfillImport(ctx, each, &at, progress)
			switch {
			case errors.Is(err, errIncomplete):
				incomplete[each.ImportID] = true
				if len(incompleteJobs) < mostIncompleteJobs {
					incompleteJobs = append(incompleteJobs, each.Job)
				}
			case err != nil && !errors.Is(err, errReplaced):
				return at, fmt.Errorf("mapping the records of import %d: %w", each.ImportID, err)
			}
		}
	}
	err = s.inTx(ctx, func(tx transaction) error {
		tx.progress = func() { progress(at) }
		return m.endBackfill(ctx, tx, sitemaps)
	})
	return at, err
}

func (s *Store) isMapped(i otherImport) bool { return i.Mapping == mappedBy(s.mappingOf(i)) }

// errReplaced says that an import no longer needs mapping.
var errReplaced = errors.New("the import is no longer its job's published one, or was mapped in the meantime")

const (
	lockJob = `SELECT 1 FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1 FOR UPDATE`
	// Runs after locking, so that it sees what was committed in the meantime.
	selectReplaced = `
SELECT NOT EXISTS (
    SELECT FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
    WHERE job.scrapingjob_id = $1 AND import.import_id = $2 AND import.mapping = $3)`
	forgetUnmapped = `DELETE FROM scrapehaul.unmapped_records WHERE import_id = $1`
	setMapping     = `UPDATE scrapehaul.imports SET mapping = $2, unmapped = $3 WHERE import_id = $1`
)

// backfillImport maps an import's records without locking the job or the table. After that
// it takes the locks in the order in which publishing does.
func (s *Store) backfillImport(ctx context.Context, i otherImport, at *Backfill, progress func(Backfill)) error {
	if i.RowsOnly {
		return errIncomplete
	}
	m := newMappedRows(s.mappingOf(i), holdingTable(i.ImportID)+"_again")
	now := *at
	err := s.inTx(ctx, func(tx transaction) error {
		tx.progress = func() { progress(now) }
		err := m.create(ctx, tx)
		if err == nil {
			_, err = tx.ExecContext(ctx, forgetUnmapped, i.ImportID)
		}
		if err != nil {
			return err
		}
		var records, unmapped int64
		err = m.remap(ctx, tx, i.ImportID, func(more int, rejects []reject) error {
			records, unmapped = records+int64(more), unmapped+int64(len(rejects))
			now.Records = at.Records + records
			return aside{"unmapped", "", rejects}.insert(ctx, tx, i.ImportID)
		})
		if err == nil {
			_, err = tx.ExecContext(ctx, lockJob, i.Job)
		}
		var replaced bool
		if err == nil {
			err = tx.GetContext(ctx, &replaced, selectReplaced, i.Job, i.ImportID, i.Mapping)
		}
		switch {
		case err != nil:
		case replaced:
			err = errReplaced
		case records != i.Records:
			err = errIncomplete
		default:
			err = m.replaceRows(ctx, tx, s, i, unmapped)
		}
		now.Unmapped += unmapped
		return err
	})
	if err != nil {
		return m.failed(err)
	}
	now.Imports++
	*at = now
	return nil
}

// replaceRows replaces the import's rows with the held ones.
func (m *mappedRows) replaceRows(ctx context.Context, tx transaction, s *Store, i otherImport, unmapped int64) error {
	err := m.prepare(ctx, tx)
	names, values := pq.StringArray{}, pq.Int64Array{}
	if err == nil && i.Records > unmapped {
		names = m.names()
		err = tx.GetContext(ctx, &values, m.countValues())
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, setMappedValues, i.ImportID, names, values)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, setMapping, i.ImportID, mappedBy(m.Mapping), unmapped)
	}
	if err != nil {
		return err
	}
	active, err := m.activity(ctx, tx, i.sitemap)
	if err != nil {
		return err
	}
	// Remaining imports get their rows in their turn. Imports that come earlier in the order
	// cannot have a key whose row belongs to this one.
	direction := int64(m.direction())
	mappedAlready := func(other otherImport) *mapping.Mapping {
		if !s.isMapped(other) || other.Job*direction > i.Job*direction {
			return nil
		}
		return s.mappingOf(other)
	}
	if _, _, err := m.removeOld(ctx, tx, mappedAlready, i.Job); err != nil {
		return err
	}
	if err := m.mergeAll(ctx, tx, i.Job, i.LastRecord, i.Job >= active.Newest); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, checkDeferred+"; DROP TABLE "+m.holding())
	return err
}

// endBackfill does what needs all imports to be mapped.
func (m *mappedRows) endBackfill(ctx context.Context, tx transaction, sitemaps []sitemap) error {
	err := m.lock(ctx, tx)
	if err == nil {
		_, err = checkShape(ctx, tx, m.Mapping)
	}
	if err == nil { // the table may have been dropped
		_, err = tx.ExecContext(ctx, "SELECT FROM "+m.table()+" LIMIT 0")
	}
	if err == nil && m.DeactivateMissing != nil {
		_, err = m.deactivate(ctx, tx, sitemaps)
	}
	var found []tableColumn
	if err == nil {
		err = tx.SelectContext(ctx, &found, selectTableColumns, m.table())
	}
	for _, c := range found {
		if !c.NotNull && shapeOf(m.Mapping).column(c.Name).Required && err == nil {
			err = m.setNotNull(ctx, tx, c.Name)
		}
	}
	return m.failed(err)
}

// setNotNull sets NOT NULL on a required column. It is optional: if rows without records
// still have NULL, or the table is in use, the column stays nullable.
func (m *mappedRows) setNotNull(ctx context.Context, tx transaction, column string) error {
	_, err := tx.ExecContext(ctx, `SAVEPOINT required; `+waitForReaders)
	if err == nil {
		_, err = tx.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s ALTER %s SET NOT NULL", m.table(), pq.QuoteIdentifier(column)))
	}
	if pq.As(err) != nil && ctx.Err() == nil {
		_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT required`)
	}
	return err
}
