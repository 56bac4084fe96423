package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// What a mapped table needs besides its columns: privileges, replica identity, row-level
// security policies, and event triggers that let the role create tables.

// updates reports whether imports update rows. They delete rows in any mode.
func updates(m *mapping.Mapping) bool { return len(m.Key) > 0 }

// Rows of a partitioned table change in its partitions, while the publication may name any
// ancestor.
const selectUnidentified = `
SELECT DISTINCT ON (relation.oid) namespace.nspname AS schema, relation.relname AS name, publication.pubname AS publication
FROM (SELECT to_regclass($1) UNION SELECT relid FROM pg_partition_tree(to_regclass($1))) AS part (relid)
JOIN pg_class AS relation ON relation.oid = part.relid AND relation.relkind = 'r'
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
CROSS JOIN LATERAL (SELECT relation.oid UNION SELECT relid FROM pg_partition_ancestors(relation.oid)) AS above (oid)
JOIN pg_class AS named ON named.oid = above.oid
JOIN pg_namespace AS of_named ON of_named.oid = named.relnamespace
JOIN pg_publication_tables AS published ON published.schemaname = of_named.nspname AND published.tablename = named.relname
JOIN pg_publication AS publication ON publication.pubname = published.pubname
WHERE ($2 AND publication.pubupdate OR publication.pubdelete)
  AND NOT CASE relation.relreplident
      WHEN 'f' THEN true
      WHEN 'd' THEN NOT $3 AND EXISTS (SELECT FROM pg_index WHERE indrelid = relation.oid AND indisprimary AND indimmediate)
      WHEN 'i' THEN EXISTS (SELECT FROM pg_index WHERE indrelid = relation.oid AND indisreplident)
      ELSE false END`

// missingReplicaIdentity returns the statements without which PostgreSQL refuses to change rows
// of a table in a publication. unkeyed is set for a table that is about to lose its primary
// key.
func missingReplicaIdentity(ctx context.Context, tx transaction, m *mapping.Mapping, unkeyed bool) (missing []string, err error) {
	var found []struct{ Schema, Name, Publication string }
	if err := tx.SelectContext(ctx, &found, selectUnidentified, quoted(m.Table), updates(m), unkeyed); err != nil {
		return nil, err
	}
	for _, each := range found {
		missing = append(missing, fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; -- publication %q has its changes",
			quoted(mapping.Table{Schema: each.Schema, Name: each.Name}), each.Publication))
	}
	return missing, nil
}

// hidesRows is true if row-level security may hide rows of table $1 from the role, so that they
// would silently not be deleted or counted. A policy that is true for every row hides none.
const hidesRows = `
row_security_active(to_regclass($1)) AND (` + hasRestrictive + ` OR NOT EXISTS (
    SELECT FROM pg_policy AS policy WHERE polrelid = to_regclass($1) AND polpermissive AND polcmd = '*' AND ` + concernsRole + `
      AND pg_get_expr(polqual, polrelid) = 'true' AND coalesce(pg_get_expr(polwithcheck, polrelid), 'true') = 'true'))`

const hasRestrictive = `EXISTS (
    SELECT FROM pg_policy AS policy WHERE polrelid = to_regclass($1) AND NOT polpermissive AND ` + concernsRole + `)`

const concernsRole = `EXISTS (SELECT FROM unnest(polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))`

const selectHidesRows = `SELECT ` + hidesRows + ` AS hides, ` + hasRestrictive + ` AS restrictive, current_user AS role`

// refuseHiding makes statements fail if row-level security would hide rows from them: it may
// have been enabled since the table was checked.
const refuseHiding = `SELECT set_config('row_security', 'off', true) WHERE ` + hidesRows

func missingPolicy(ctx context.Context, tx transaction, m *mapping.Mapping) (missing []string, err error) {
	var found struct {
		Hides, Restrictive bool
		Role               string
	}
	if err := tx.GetContext(ctx, &found, selectHidesRows, quoted(m.Table)); err != nil || !found.Hides {
		return nil, err
	}
	role := pq.QuoteIdentifier(found.Role)
	statement := fmt.Sprintf("CREATE POLICY scrapehaul ON %s TO %s USING (true) WITH CHECK (true);", quoted(m.Table), role)
	if found.Restrictive {
		statement = fmt.Sprintf("ALTER ROLE %s BYPASSRLS;", role)
	}
	return []string{statement + " -- its row-level security hides rows from the role"}, nil
}

const selectMissingPrivileges = `
SELECT current_user AS role, array_to_string(ARRAY(
    SELECT privilege FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], ARRAY[true, true, $2, true]) AS of (privilege, needed)
    WHERE needed AND NOT CASE privilege WHEN 'DELETE' THEN has_table_privilege(to_regclass($1), privilege)
                                        ELSE has_any_column_privilege(to_regclass($1), privilege) END), ', ') AS privileges`

func missingPrivileges(ctx context.Context, tx transaction, m *mapping.Mapping) (missing []string, err error) {
	var found struct{ Role, Privileges string }
	if err := tx.GetContext(ctx, &found, selectMissingPrivileges, quoted(m.Table), updates(m)); err != nil || found.Privileges == "" {
		return nil, err
	}
	return []string{fmt.Sprintf("GRANT %s ON %s TO %s;", found.Privileges, quoted(m.Table), pq.QuoteIdentifier(found.Role))}, nil
}

// addFix adds the fixing statements to an error of a table that has changed since the worker
// started.
func (i *attempt) addFix(ctx context.Context, err error) {
	refusal, ok := errors.AsType[*MappedTableError](err)
	if !ok || pq.As(err) == nil || len(refusal.Fix) > 0 {
		return
	}
	_ = i.store.inTx(ctx, func(tx transaction) error { // err is what counts
		if refusal.Fix, err = missingInTable(ctx, tx, i.mapped.Mapping); err != nil {
			return err
		}
		further, err := refusedByEventTrigger(ctx, tx, pq.As(refusal.Err))
		refusal.Fix = append(refusal.Fix, further...)
		return err
	})
}

// Event triggers that run with the privileges of the role that creates a table.
const selectEventTriggers = `
SELECT trigger.evtname AS name, function.proname || '()' AS signature,
       format('%I.%I()', function.pronamespace::regnamespace::name, function.proname) AS function
FROM pg_event_trigger AS trigger JOIN pg_proc AS function ON function.oid = trigger.evtfoid
WHERE trigger.evtenabled <> 'D' AND NOT function.prosecdef ORDER BY trigger.evtname`

// refusedByEventTrigger returns the statements that give event triggers the privileges that the
// worker's role lacks.
func refusedByEventTrigger(ctx context.Context, tx transaction, refused *pq.Error) (fix []string, err error) {
	if refused.Code != pqerror.InsufficientPrivilege {
		return nil, nil
	}
	var triggers []struct{ Name, Signature, Function string }
	if err := tx.SelectContext(ctx, &triggers, selectEventTriggers); err != nil {
		return nil, err
	}
	for _, each := range triggers {
		if strings.Contains(refused.Where, each.Signature) {
			fix = append(fix, fmt.Sprintf("ALTER FUNCTION %s SECURITY DEFINER; -- event trigger %q runs it for every created table",
				each.Function, each.Name))
		}
	}
	return fix, nil
}

// tryHolding creates and drops a holding table, as every import does, and rolls back. If that
// fails, fix has statements that may help.
func tryHolding(ctx context.Context, tx transaction, m *mapping.Mapping) (fix []string, err error) {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT trial`); err != nil {
		return nil, err
	}
	of := newMappedRows(m, holdingTable(0))
	tried := of.create(ctx, tx)
	if tried == nil {
		_, tried = tx.ExecContext(ctx, "DROP TABLE "+of.holding())
	}
	refused := pq.As(tried)
	if tried != nil && refused == nil {
		return nil, tried
	}
	if _, err := tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT trial`); err != nil || tried == nil {
		return nil, err
	}
	if fix, err = refusedByEventTrigger(ctx, tx, refused); err != nil {
		return nil, err
	}
	return fix, fmt.Errorf("creating a table to hold rows until they are published: %w", refused)
}
