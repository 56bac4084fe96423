package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// PrepareMappedTables makes the tables of the mappings that are not there, and
// checks those that are: the error says for each what is missing, as the SQL to
// run. Any number of processes may call it at the same time.
func PrepareMappedTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings) error {
	if len(mappings.All()) == 0 {
		return nil
	}
	err := (&Store{db: db}).inTx(ctx, func(tx transaction) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		var problems []error
		for _, m := range mappings.All() {
			missing, err := prepareMappedTable(ctx, tx, m)
			if err == nil && len(missing) == 0 {
				missing, err = tryHolding(ctx, tx, m)
			}
			switch {
			case err != nil:
				return &MappedTableError{Table: m.Table, Err: err, Mend: missing}
			case len(missing) > 0:
				problems = append(problems, &MappedTableError{Table: m.Table, Mend: missing})
			}
		}
		return errors.Join(problems...)
	})
	if _, told := errors.AsType[*MappedTableError](err); err != nil && !told {
		return fmt.Errorf("preparing the tables of the mappings: %w", err)
	}
	return err
}

// selectKind is "" for a table that is not there.
const selectKind = `
SELECT coalesce((SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)), '')`

func prepareMappedTable(ctx context.Context, tx transaction, m *mapping.Mapping) (missing []string, err error) {
	var kind string
	if err := tx.GetContext(ctx, &kind, selectKind, quoted(m.Table)); err != nil {
		return nil, err
	}
	switch kind {
	case "":
	case "r", "p": // partitioned
		return missingInTable(ctx, tx, m)
	default:
		return nil, errors.New("it is a view, a foreign table or the like: rows can be brought into a table of this database only")
	}
	for _, statement := range createTable(m) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("making it, by %q: %w", statement, err)
		}
	}
	// Ours without a key has no replica identity yet.
	missing, err = missingReplicaIdentity(ctx, tx, m)
	for _, statement := range missing {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("making it, by %q: %w", statement, err)
		}
	}
	return nil, err
}

// createTable makes the table, but not its schema: who may use that is for its
// owner to say.
func createTable(m *mapping.Mapping) []string {
	columns := []string{"scrapingjob_id bigint NOT NULL"}
	for _, column := range m.Columns {
		columns = append(columns, definition(column))
	}
	if missing := m.DeactivateMissing; missing != nil {
		columns = append(columns, activeDefinition(missing))
	}
	if key := uniqueKey(m); len(key) > 0 {
		columns = append(columns, "PRIMARY KEY ("+nameList("", key)+")")
	}
	statements := []string{fmt.Sprintf("CREATE TABLE %s (%s);", quoted(m.Table), strings.Join(columns, ", "))}
	if key := uniqueKey(m); len(key) == 0 || key[0] != mapping.ScrapingJobID {
		statements = append(statements, fmt.Sprintf("CREATE INDEX ON %s (scrapingjob_id);", quoted(m.Table)))
	}
	return statements
}

func definition(column mapping.Column) string {
	text := pq.QuoteIdentifier(column.Name) + " " + column.Type.PostgreSQL()
	if column.Required {
		text += " NOT NULL"
	}
	return text
}

func activeDefinition(missing *mapping.DeactivateMissing) string {
	return pq.QuoteIdentifier(missing.Column) + " boolean NOT NULL DEFAULT true"
}

// uniqueKey are the columns that tell one row of the table from another.
func uniqueKey(m *mapping.Mapping) []string {
	if m.Mode == mapping.ReplaceJob && len(m.Key) > 0 {
		return append([]string{mapping.ScrapingJobID}, m.Key...)
	}
	return m.Key
}

// Of a domain, type is what it is made of in the end.
const selectTableColumns = `
SELECT attribute.attname AS name, type.typname AS type, type.typtype = 'e' AS enum,
       attribute.attgenerated <> '' OR attribute.attidentity = 'a' AS generated,
       attribute.attnotnull AND NOT attribute.atthasdef AND attribute.attidentity = '' AS needed
FROM pg_attribute AS attribute CROSS JOIN LATERAL (
    WITH RECURSIVE made_of AS (
        SELECT typname, typtype, typbasetype FROM pg_type WHERE oid = attribute.atttypid
        UNION ALL SELECT base.typname, base.typtype, base.typbasetype FROM made_of JOIN pg_type AS base ON base.oid = made_of.typbasetype)
    SELECT typname, typtype FROM made_of WHERE typtype <> 'd') AS type
WHERE attribute.attrelid = to_regclass($1) AND attribute.attnum > 0 AND NOT attribute.attisdropped`

type tableColumn struct {
	Name, Type string
	Enum       bool
	Generated  bool // by PostgreSQL alone
	Needed     bool // in every row
}

const numberTypes = " int2 int4 int8 numeric float4 float8 "

// taken are the types of columns that take values of a mapping's type: those that read
// them the same way whatever the server's settings, and the role's, are. What such a
// type refuses is rejected record by record.
var taken = map[mapping.Type]string{
	mapping.Numeric:   numberTypes,
	mapping.Integer:   numberTypes,
	mapping.Boolean:   " bool ",
	mapping.Timestamp: " timestamptz timestamp date ",
	mapping.JSONB:     " jsonb json ",
	mapping.Text: numberTypes + "text varchar bpchar citext bool uuid jsonb json bytea inet cidr macaddr macaddr8 bit varbit " +
		"point tsvector tsquery hstore ltree geometry geography ",
}

func (c tableColumn) takes(t mapping.Type) bool {
	return c.Enum && t == mapping.Text || strings.Contains(taken[t], " "+c.Type+" ")
}

// readsBy says by which setting a type reads what is written into it.
func (c tableColumn) readsBy(t mapping.Type) string {
	switch {
	case c.Type == "money":
		return ", which reads numbers by lc_monetary"
	case t != mapping.Text:
	case c.Type == "interval":
		return ", which reads texts by IntervalStyle"
	case c.Type == "xml":
		return ", which reads texts by xmloption"
	case strings.Contains(taken[mapping.Timestamp], " "+c.Type+" "):
		return ", which reads texts by DateStyle and TimeZone: or map it as a timestamp"
	}
	return ""
}

// The columns' order in the index does not matter.
const hasUniqueIndex = `
SELECT EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = to_regclass($1) AND indisunique AND indimmediate AND indisvalid AND indpred IS NULL AND indexprs IS NULL
      AND (SELECT array_agg(attname::text ORDER BY attname::text COLLATE "C") FROM pg_attribute
           WHERE attrelid = indrelid AND attnum = ANY(indkey[:indnkeyatts - 1])) = $2)`

func missingInTable(ctx context.Context, tx transaction, m *mapping.Mapping) (missing []string, err error) {
	var found []tableColumn
	if err := tx.SelectContext(ctx, &found, selectTableColumns, quoted(m.Table)); err != nil || len(found) == 0 {
		return nil, err // one that is not there is nobody's to mend
	}
	wanted := map[string]bool{}
	want := func(name string, t mapping.Type, definition string) {
		wanted[name] = true
		at := slices.IndexFunc(found, func(c tableColumn) bool { return c.Name == name })
		switch {
		case at < 0:
			missing = append(missing, fmt.Sprintf("ALTER TABLE %s ADD %s;", quoted(m.Table), definition))
		case found[at].Generated:
			missing = append(missing, fmt.Sprintf("ALTER TABLE %s ALTER %s DROP EXPRESSION IF EXISTS, ALTER %[2]s DROP IDENTITY IF EXISTS; -- PostgreSQL generates it",
				quoted(m.Table), pq.QuoteIdentifier(name)))
		case !found[at].takes(t):
			if found[at].Type == "money" && t == mapping.Integer {
				t = mapping.Numeric // which PostgreSQL makes of money
			}
			missing = append(missing, fmt.Sprintf("ALTER TABLE %s ALTER %s TYPE %s; -- it is %s%s",
				quoted(m.Table), pq.QuoteIdentifier(name), t.PostgreSQL(), found[at].Type, found[at].readsBy(t)))
		}
	}
	want(mapping.ScrapingJobID, mapping.Integer, "scrapingjob_id bigint NOT NULL")
	for _, column := range m.Columns {
		want(column.Name, column.Type, definition(column))
	}
	if active := m.DeactivateMissing; active != nil {
		want(active.Column, mapping.Boolean, activeDefinition(active))
	}
	for _, column := range found {
		if column.Needed && !wanted[column.Name] {
			missing = append(missing, fmt.Sprintf("ALTER TABLE %s ALTER %s DROP NOT NULL; -- or SET DEFAULT: no column of the mapping fills it",
				quoted(m.Table), pq.QuoteIdentifier(column.Name)))
		}
	}
	if key := uniqueKey(m); len(key) > 0 {
		sorted := slices.Sorted(slices.Values(key))
		var has bool
		if err := tx.GetContext(ctx, &has, hasUniqueIndex, quoted(m.Table), pq.StringArray(sorted)); err != nil {
			return nil, err
		}
		if !has {
			missing = append(missing, fmt.Sprintf("CREATE UNIQUE INDEX ON %s (%s);", quoted(m.Table), nameList("", key)))
		}
	}
	for _, further := range []func(context.Context, transaction, *mapping.Mapping) ([]string, error){missingRights, missingReplicaIdentity, missingPolicy} {
		more, err := further(ctx, tx, m)
		if err != nil {
			return nil, err
		}
		missing = append(missing, more...)
	}
	return missing, nil
}
