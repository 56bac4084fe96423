package main

import (
	"context"
	"errors"
	"fmt"
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
		for _, account := range slices.Sorted(maps.Keys(d.clients)) {
			d.checkLedger(ctx, account, postgres.NewLedger(db, account, 0))
		}
		d.checkRefused(ctx, postgres.NewStore(db, nil))
	}
}

// checkRefused looks for jobs that were not imported because another account has their IDs.
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
	ids := map[pair][]string{}
	for _, each := range refused {
		of := pair{each.Account, each.Owner}
		if ids[of] == nil {
			pairs = append(pairs, of)
		}
		ids[of] = append(ids[of], fmt.Sprint(each.ScrapingJobID))
	}
	for _, of := range pairs {
		text := strings.Join(ids[of][:min(len(ids[of]), shownIDs)], " ")
		if more := len(ids[of]) - shownIDs; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		d.fix("scraping jobs that account %s has brought within 24 hours, and that are refused because account %s has published jobs of these IDs: %s: if it is the same account under another name, call it %s again: an account keeps its name; otherwise see whose API token, or webhook's URL, it was given",
			of.account, of.owner, text, of.owner)
	}
}

// shownIDs is how many IDs a line has.
const shownIDs = 10

// checkLedger says what was spent of the API's limit of calls, and hints at imports that wait for it.
func (d *doctor) checkLedger(ctx context.Context, account string, ledger *postgres.Ledger) {
	state, err := within(ctx, ledger.State)
	switch {
	case err != nil:
		d.fix("schema scrapehaul: %v", err)
	case state.Waiting > 0 && state.Resets.After(time.Now()):
		d.line("hint", "%simports that wait for the API's limit of calls: %d; they go on by themselves, the next of them at %s",
			d.clients.of(account), state.Waiting, state.Resets.Local().Format(time.DateTime))
	default:
		d.ok("%sthe window of API calls: %s", d.clients.of(account), window(state))
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
		d.fix("%s (the records are in scrapehaul.scraped_records all the same): let the role of DATABASE_URL own schemas sitemaps and sitemaps_latest, or see who else has changed the view or holds it; reconciliation tries again", problem)
	}
}
