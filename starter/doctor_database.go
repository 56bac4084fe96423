package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
)

func (d *doctor) checkDatabase(ctx context.Context) {
	var s program.Settings
	d.settings.DatabaseFlags.Validate(&s)
	if !d.validSettings(&s) {
		return
	}
	db, err := d.settings.Connect(2)
	if err != nil {
		d.fix("PostgreSQL: %v", err)
		return
	}
	defer func() { _ = db.Close() }() // nothing is written
	if _, err := within(ctx, func(ctx context.Context) (any, error) { return nil, db.PingContext(ctx) }); errors.Is(err, postgres.ErrReadOnly) {
		d.checkReadOnly(true)
		return
	} else if err != nil {
		d.fix("PostgreSQL, and everything that depends on it: connecting with DATABASE_URL: %v: start PostgreSQL, or fix host, port, user and password in DATABASE_URL", err)
		return
	}
	d.ok("PostgreSQL answers")
	before := d.now()
	found, err := within(ctx, func(ctx context.Context) (postgres.Examination, error) { return postgres.Examine(ctx, db) })
	if err != nil {
		d.fix("schema scrapehaul: %v", err)
		return
	}
	d.checkClock(found.Clock, before, d.now())
	d.checkSchema(found)
	if found.SchemaVersion == found.WantVersion && len(found.Forbidden)+len(found.Missing) == 0 {
		for _, account := range slices.Sorted(maps.Keys(d.clients)) {
			d.checkLedger(ctx, account, postgres.NewLedger(db, account, 0))
		}
		d.checkRefused(ctx, postgres.NewStore(db, nil))
	}
}

// checkRefused reports jobs that are not imported because another account has their IDs.
func (d *doctor) checkRefused(ctx context.Context, store *postgres.Store) {
	refused, err := within(ctx, store.Refused)
	if err == nil {
		d.jobs, err = within(ctx, store.JobsByAccount)
	}
	if err != nil {
		d.fix("schema scrapehaul: %v", err)
	}
	type pair struct{ account, owner string }
	var pairs []pair
	ids := map[pair][]int64{}
	for _, each := range refused {
		of := pair{each.Account, each.Owner}
		if ids[of] == nil {
			pairs = append(pairs, of)
		}
		ids[of] = append(ids[of], each.ScrapingJobID)
	}
	for _, of := range pairs {
		d.fix("scraping jobs reported by account %s in the last 24 hours and refused because account %s has published jobs with these IDs: %s: if this is the same account under a new name, name it %s again; otherwise check which API token or webhook URL it was given",
			of.account, of.owner, idList(ids[of]), of.owner)
	}
}

// checkLedger reports the API calls used, and hints at imports that wait for the limit.
func (d *doctor) checkLedger(ctx context.Context, account string, ledger *postgres.Ledger) {
	state, err := within(ctx, ledger.State)
	switch {
	case err != nil:
		d.fix("schema scrapehaul: %v", err)
	case state.Waiting > 0 && state.Resets.After(time.Now()):
		d.line("hint", "%simports waiting for the API's rate limit: %d; they resume on their own, the next at %s",
			d.clients.of(account), state.Waiting, state.Resets.Local().Format(time.DateTime))
	default:
		d.ok("%sthe window of API calls: %s", d.clients.of(account), window(state))
	}
}

func (d *doctor) checkReadOnly(readOnly bool) {
	if readOnly {
		d.fix("the database is read-only: DATABASE_URL must point to the primary server and a role that can write")
	} else {
		d.ok("the database is writable")
	}
}

func (d *doctor) checkSchema(found postgres.Examination) {
	d.checkReadOnly(found.ReadOnly)
	if found.PooledTransactions {
		d.fix("DATABASE_URL points to a pooler without sessions: set PgBouncer's pool_mode to session, or connect to PostgreSQL directly")
	}
	if found.Replicas > 0 && !found.Synchronous {
		d.line("hint", "standby servers attached: %d; no commit waits for them (synchronous_standby_names), so a failover can lose the latest publishes", found.Replicas)
	}
	switch {
	case len(found.Forbidden) > 0:
		d.fix("the role in DATABASE_URL cannot read and write %s: connect as the role that owns schema scrapehaul and its tables, or make this role their owner", strings.Join(found.Forbidden, ", "))
	case found.SchemaVersion < found.WantVersion && !found.MayCreate:
		d.fix("schema scrapehaul is at version %d of %d, and the role in DATABASE_URL cannot migrate it: make it the owner of the schema, or GRANT CREATE ON DATABASE, then run worker migrate",
			found.SchemaVersion, found.WantVersion)
	case found.SchemaVersion < found.WantVersion:
		d.fix("schema scrapehaul is at version %d of %d: start a worker, or run worker migrate", found.SchemaVersion, found.WantVersion)
	case found.SchemaVersion > found.WantVersion:
		d.fix("schema scrapehaul is at version %d, but this program supports only up to %d: use the same release as the workers", found.SchemaVersion, found.WantVersion)
	case len(found.Missing) > 0:
		d.fix("schema scrapehaul is at version %d, but lacks %s: rename the table back if it was renamed, or restore the database from a backup",
			found.SchemaVersion, strings.Join(found.Missing, ", "))
	default:
		d.ok("schema scrapehaul is at version %d, and the role can read and write it", found.SchemaVersion)
	}
	for _, problem := range found.ViewProblems {
		d.fix("%s (the records are still in scrapehaul.scraped_records): make the role in DATABASE_URL the owner of schemas sitemaps and sitemaps_latest, or check who changed the view, or locks it or scrapehaul.import_records; then the next reconciliation or a starter reimport makes it", problem)
	}
}
