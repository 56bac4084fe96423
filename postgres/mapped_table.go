package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// PrepareMappedTables creates missing tables of the mappings and checks existing ones. The
// error has the SQL to run for each table that does not match. Any number of processes may
// call it concurrently.
func PrepareMappedTables(ctx context.Context, db *sqlx.DB, mappings *mapping.Mappings) error {
	if len(mappings.All()) == 0 {
		return nil
	}
	err := (&Store{db: db}).inTx(ctx, func(tx transaction) error {
		tx.progress = func() {}
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		var problems []error
		for _, m := range mappings.All() {
			missing, err := prepareMappedTable(ctx, tx, m)
			if err == nil && len(missing) == 0 {
				missing, err = tryHolding(ctx, tx, m)
			}
			_, other := errors.AsType[*MappingsError](err)
			switch {
			case other:
				problems = append(problems, &MappedTableError{Table: m.Table, Err: err})
			case err != nil:
				return &MappedTableError{Table: m.Table, Err: err, Fix: missing}
			case len(missing) > 0:
				problems = append(problems, &MappedTableError{Table: m.Table, Fix: missing})
			}
		}
		return errors.Join(problems...)
	})
	if _, wrapped := errors.AsType[*MappedTableError](err); err != nil && !wrapped {
		return fmt.Errorf("preparing the mapped tables: %w", err)
	}
	return err
}

// selectKind selects "" if the table does not exist.
const selectKind = `
SELECT coalesce((SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)), '')`

func prepareMappedTable(ctx context.Context, tx transaction, m *mapping.Mapping) (missing []string, err error) {
	exists, err := isTable(ctx, tx, m.Table)
	if err != nil {
		return nil, err
	}
	if exists {
		noted, err := checkShape(ctx, tx, m)
		if err == nil {
			missing, err = missingInTable(ctx, tx, m)
		}
		if err == nil && len(missing) == 0 && noted == nil { // created by its host, or before shapes were recorded
			err = noteShape(ctx, tx, m)
		}
		return missing, err
	}
	change := MappedTableChange{SQL: createTable(m), isNew: true}
	err = migrateTable(ctx, tx, m, &change)
	if refused := pq.As(err); refused != nil && refused.Code == pqerror.InvalidSchemaName {
		return []string{createSchema(m.Table)}, fmt.Errorf("creating it: %w", err)
	}
	return nil, doing(err, "creating it")
}

// isTable returns false if the table does not exist, and an error if it is not a table.
func isTable(ctx context.Context, tx transaction, table mapping.Table) (exists bool, err error) {
	var kind string
	err = tx.GetContext(ctx, &kind, selectKind, quoted(table))
	if err == nil && kind != "" && kind != "r" && kind != "p" { // partitioned
		err = errors.New("it is a view, a foreign table or similar: rows can only be written to a table of this database")
	}
	return kind != "", err
}

func run(ctx context.Context, tx transaction, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("running %q: %w", statement, err)
		}
	}
	return nil
}

// Earlier imports have no rows in a new table.
const forgetRows = `UPDATE scrapehaul.imports SET mapping = '' WHERE state IN ('published', 'removed') AND right(mapping, -17) = $1`

func createSchema(table mapping.Table) string {
	return fmt.Sprintf("CREATE SCHEMA %s;", pq.QuoteIdentifier(table.Schema))
}

// createTable returns the statements that create the table, but not its schema, whose owner
// decides who may use it.
func createTable(m *mapping.Mapping) []string {
	columns := []string{"scrapingjob_id bigint NOT NULL"}
	for _, column := range m.Columns {
		columns = append(columns, definition(column))
	}
	if missing := m.DeactivateMissing; missing != nil {
		columns = append(columns, activeDefinition(missing))
	}
	if key := shapeOf(m).uniqueKey(); len(key) > 0 {
		columns = append(columns, "PRIMARY KEY ("+nameList("", key)+")")
	}
	statements := []string{fmt.Sprintf("CREATE TABLE %s (%s);", quoted(m.Table), strings.Join(columns, ", "))}
	if key := shapeOf(m).uniqueKey(); len(key) == 0 || key[0] != mapping.ScrapingJobID {
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

// uniqueKey returns the columns that identify a row of the table.
func (s *shape) uniqueKey() []string {
	if s.Mode == mapping.ReplaceJob && len(s.Key) > 0 {
		return append([]string{mapping.ScrapingJobID}, s.Key...)
	}
	return s.Key
}

// For a domain, type is its base type.
const selectTableColumns = `
SELECT attribute.attname AS name, type.typname AS type, type.typtype = 'e' AS enum,
       attribute.attgenerated <> '' OR attribute.attidentity = 'a' AS generated, attribute.attnotnull AS "notnull",
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
	NotNull    bool
	Needed     bool // in every row
}

const numberTypes = " int2 int4 int8 numeric float4 float8 "

// taken are the column types that accept values of a mapping's type: those that read them the
// same way whatever the settings of server and role. Values that such a type refuses are
// rejected record by record.
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

// readsBy says which setting affects how a type reads values.
func (c tableColumn) readsBy(t mapping.Type) string {
	switch {
	case c.Type == "money":
		return ", which parses numbers by lc_monetary"
	case t != mapping.Text:
	case c.Type == "interval":
		return ", which parses text by IntervalStyle"
	case c.Type == "xml":
		return ", which parses text by xmloption"
	case strings.Contains(taken[mapping.Timestamp], " "+c.Type+" "):
		return ", which parses text by DateStyle and TimeZone; alternatively, map it as a timestamp"
	}
	return ""
}
