package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Examination is what [Examine] finds out about a database and the role's privileges in it.
type Examination struct {
	// Clock is the server's time.
	Clock time.Time
	// ReadOnly is set on a standby, for example.
	ReadOnly bool
	// SchemaVersion is the version of schema scrapehaul, 0 if it does not exist;
	// WantVersion is the one that this code needs.
	SchemaVersion, WantVersion int64
	// Forbidden lists the tables of the schema that the role cannot read and write, or
	// "schema scrapehaul" itself.
	Forbidden []string
	// Missing lists the tables that the schema lacks although it has this code's version.
	Missing []string
	// MayCreate is set if the role can create or migrate schema scrapehaul.
	MayCreate bool
	// Replicas is the number of attached standbys; Synchronous is set if a commit waits for
	// one.
	Replicas    int
	Synchronous bool
	// PooledTransactions is set behind a pooler that does not keep sessions.
	PooledTransactions bool
	// ViewProblems has a sentence for each sitemap view that failed to refresh.
	ViewProblems []string
}

// Other roles see only the process of a walsender. Logical ones are identified by their
// slots.
const examineServer = `
SELECT clock_timestamp(), current_setting('transaction_read_only')::boolean, to_regnamespace('scrapehaul') IS NOT NULL,
       coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'scrapehaul'),
                has_database_privilege(current_database(), 'CREATE')),
       (SELECT count(*) FROM pg_stat_replication
        WHERE coalesce(state, '') <> 'backup' AND pid NOT IN
              (SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid IS NOT NULL)),
       current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')`

const selectForbidden = `
SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM (
    SELECT 'schema scrapehaul' AS name WHERE NOT has_schema_privilege('scrapehaul', 'USAGE')
    UNION ALL
    SELECT 'table ' || relname FROM pg_class
    WHERE relnamespace = to_regnamespace('scrapehaul') AND relkind IN ('r', 'p')
      AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
               AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE') AND NOT row_security_active(oid))
) AS forbidden`

// ownTables are the tables of schema scrapehaul at this code's version.
var ownTables = []string{
	"api_budgets", "api_waits", "given_up_jobs", "import_records", "imports", "mapped_tables", "refused_jobs", "rejected_records",
	"scraping_jobs", "sitemap_views", "skipped_records", "spools", "undelivered_publications", "unmapped_records",
}

const selectMissing = `
SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('scrapehaul') AND relname = name AND relkind IN ('r', 'p'))`

const selectViewProblems = `
SELECT problem FROM (
    SELECT account, sitemap_name, problem FROM scrapehaul.sitemap_views WHERE problem IS NOT NULL
    UNION ALL SELECT '', '', 'schema sitemaps_latest does not exist' WHERE to_regnamespace('sitemaps_latest') IS NULL
) AS problems ORDER BY account, sitemap_name`

// Examine checks whether imports can work in the database, without changing anything. It
// uses two connections of the pool.
func Examine(ctx context.Context, db *sqlx.DB) (Examination, error) {
	var found Examination
	want, err := wantedVersion()
	if err != nil {
		return found, err
	}
	found.WantVersion = want
	var exists bool
	err = db.QueryRowxContext(ctx, examineServer).Scan(&found.Clock, &found.ReadOnly, &exists, &found.MayCreate, &found.Replicas, &found.Synchronous)
	if err != nil {
		return found, fmt.Errorf("examining the database: %w", err)
	}
	if found.PooledTransactions, err = sharesBackends(ctx, db); err != nil {
		return found, fmt.Errorf("checking whether a pooler keeps sessions: %w", err)
	}
	if !exists {
		return found, nil
	}
	if err := db.QueryRowxContext(ctx, selectForbidden).Scan(pq.Array(&found.Forbidden)); err != nil {
		return found, fmt.Errorf("reading the privileges in schema scrapehaul: %w", err)
	}
	if len(found.Forbidden) > 0 {
		return found, nil // the version table may be one of them
	}
	if found.SchemaVersion, err = schemaVersion(ctx, db); err != nil {
		return found, err
	}
	if found.SchemaVersion != found.WantVersion {
		return found, nil
	}
	if err := db.QueryRowxContext(ctx, selectMissing, pq.Array(ownTables)).Scan(pq.Array(&found.Missing)); err != nil {
		return found, fmt.Errorf("reading the tables of schema scrapehaul: %w", err)
	}
	if len(found.Missing) == 0 {
		if err := db.SelectContext(ctx, &found.ViewProblems, selectViewProblems); err != nil {
			return found, fmt.Errorf("reading the problems of sitemap views: %w", err)
		}
	}
	return found, nil
}
