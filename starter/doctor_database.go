package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

func (d *doctor) checkDatabase(ctx context.Context) {
	var s program.Settings
	d.settings.DatabaseFlags.Validate(&s)
	if !d.settingsAreRight(&s) {
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
		d.fix("PostgreSQL, and all that depends on it: connecting with DATABASE_URL: %v", err)
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
	if found.SchemaVersion == found.WantVersion && len(found.Forbidden) == 0 {
		d.checkLedger(ctx, postgres.NewLedger(db, sink.DefaultAccount, 0))
	}
}

// checkLedger hints at imports that wait for calls of the API.
func (d *doctor) checkLedger(ctx context.Context, ledger *postgres.Ledger) {
	state, err := within(ctx, ledger.State)
	switch {
	case err != nil:
		d.fix("schema scrapehaul: %v", err)
	case state.Waiting > 0 && state.Resets.After(time.Now()):
		d.line("hint", "imports that wait for the API's limit of calls: %d; they go on by themselves, the next of them at %s",
			state.Waiting, state.Resets.Local().Format(time.DateTime))
	}
}

func (d *doctor) checkReadOnly(readOnly bool) {
	if readOnly {
		d.fix("the database is read-only: DATABASE_URL has to lead to the primary server, and a role that may write")
	} else {
		d.ok("the database may be written to")
	}
}

func (d *doctor) checkSchema(found postgres.Examination) {
	d.checkReadOnly(found.ReadOnly)
	if found.PooledTransactions {
		d.fix("DATABASE_URL leads to a pooler that keeps no sessions: set PgBouncer's pool_mode to session, or use the address of PostgreSQL itself")
	}
	if found.Replicas > 0 && !found.Synchronous {
		d.line("hint", "standby servers attached: %d; no commit waits for them (synchronous_standby_names), so a failover can lose what was published last", found.Replicas)
	}
	switch {
	case len(found.Forbidden) > 0:
		d.fix("the role of DATABASE_URL may not read and write %s: let it own schema scrapehaul", strings.Join(found.Forbidden, ", "))
	case found.SchemaVersion < found.WantVersion && !found.MayCreate:
		d.fix("schema scrapehaul is at version %d of %d, and the role of DATABASE_URL may not bring it there: let it own the schema, or GRANT CREATE ON DATABASE, and run worker migrate",
			found.SchemaVersion, found.WantVersion)
	case found.SchemaVersion < found.WantVersion:
		d.fix("schema scrapehaul is at version %d of %d: start a worker, or run worker migrate", found.SchemaVersion, found.WantVersion)
	case found.SchemaVersion > found.WantVersion:
		d.fix("schema scrapehaul is at version %d, of which this program knows only %d: use the program that the workers are of", found.SchemaVersion, found.WantVersion)
	default:
		d.ok("schema scrapehaul is at version %d, and the role may read and write it", found.SchemaVersion)
	}
	for _, problem := range found.ViewProblems {
		d.fix("%s (the records are in scrapehaul.scraped_records all the same): let the role of DATABASE_URL own schema sitemaps, or see who else has changed the view or holds it; reconciliation tries again", problem)
	}
}
