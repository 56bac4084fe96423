package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// Backfill says how far the backfill of a mapped table has come.
type Backfill struct {
	Table string `json:"table"`
	// Imports are those whose records are rows of the table by the present mapping, of all
	// published ones that are to be.
	Imports   int64 `json:"imports"`
	OfImports int64 `json:"of_imports"`
	Records   int64 `json:"records"`
	OfRecords int64 `json:"of_records"`
	// Unmapped counts those of Records that do not fit: they have no row.
	Unmapped int64 `json:"unmapped,omitempty"`
	// Incomplete are imports whose records are not all there, or were not kept: their rows
	// stay. IncompleteJobs are the first of their scraping jobs.
	Incomplete     int64   `json:"incomplete,omitempty"`
	IncompleteJobs []int64 `json:"incomplete_jobs,omitempty"`
}

const mostIncompleteJobs = 20

// In the direction in which each key gets the row of the import that counts at once.
const selectForTable = `SELECT ` + importOf + ` ORDER BY job.scrapingjob_id * $1 DESC`

// BackfillMappedTable makes rows of the table that the sitemap's mapping is for of the
// records of all published imports that the mappings bring into that table, and that were
// not yet mapped as they are now: exactly those that the imports themselves would have made,
// one import after the other, in a transaction each. It may be ended anywhere and called
// again, and goes on with the imports that are left. progress is called several times a
// minute.
func (s *Store) BackfillMappedTable(ctx context.Context, account, sitemapName string, progress func(Backfill)) (at Backfill, err error) {
	of := s.mappings.For(account, sitemapName)
	if of == nil {
		return at, &MappingsError{fmt.Sprintf("this worker's file of mappings (MAPPINGS) has none for sitemap %q of account %q", sitemapName, account)}
	}
	defer func() {
		if err != nil && ctx.Err() != nil { // PostgreSQL's word for it is another
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
		if progress(at); len(due) == 0 { // nor was any imported by another mapping meanwhile
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

// errReplaced says that an import is none to map any more.
var errReplaced = errors.New("the import is not the published one of its job any more, or was mapped meanwhile")

const (
	lockJob = `SELECT 1 FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1 FOR UPDATE`
	// After the lock was waited for, what was committed meanwhile counts.
	selectReplaced = `
SELECT NOT EXISTS (
    SELECT FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
    WHERE job.scrapingjob_id = $1 AND import.import_id = $2 AND import.mapping = $3)`
	forgetUnmapped = `DELETE FROM scrapehaul.unmapped_records WHERE import_id = $1`
	setMapping     = `UPDATE scrapehaul.imports SET mapping = $2, unmapped = $3 WHERE import_id = $1`
)

// backfillImport maps an import's records without keeping others from the job or the
// table. The locks come after that, in the order of an import that is published.
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

// replaceRows puts the rows that are held in the place of those that the import had.
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
	// Of those that are left each gets its rows in its turn; of those before, none can have a
	// key whose row is this one's.
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

// endBackfill does what all imports have to be mapped for.
func (m *mappedRows) endBackfill(ctx context.Context, tx transaction, sitemaps []sitemap) error {
	err := m.lock(ctx, tx)
	if err == nil {
		_, err = checkShape(ctx, tx, m.Mapping)
	}
	if err == nil { // it may be gone
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

// setNotNull has PostgreSQL refuse NULL in a required column. No import needs that: where
// rows have it, of records that are gone, or the table is in use, it stays undone.
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
