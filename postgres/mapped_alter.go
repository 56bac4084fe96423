package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// alteration collects the statements that make a filled table match its mapping. They delete
// no values except duplicate rows of a new key.
type alteration struct {
	*mapping.Mapping
	// noted is the shape that the table was created for or last migrated to; nil if unknown.
	noted   *shape
	found   []tableColumn
	renamed map[string]string // present names of columns, by their names in the mapping
	empty   []string          // added columns
	columns []string          // the statements
}

// missingInTable returns the statements that add what an existing table lacks, whether it was
// created for the mapping or by its host; none if the table does not exist.
func missingInTable(ctx context.Context, tx transaction, m *mapping.Mapping) ([]string, error) {
	return alterations(ctx, tx, m, nil)
}

func alterations(ctx context.Context, tx transaction, m *mapping.Mapping, noted *shape) (statements []string, err error) {
	a := &alteration{Mapping: m, noted: noted, renamed: map[string]string{}}
	if err := tx.SelectContext(ctx, &a.found, selectTableColumns, quoted(m.Table)); err != nil || len(a.found) == 0 {
		return nil, err
	}
	a.renameColumns()
	a.changeColumns()
	drop, add, unkeyed, err := a.changeKey(ctx, tx)
	statements = append(drop, a.columns...)
	for _, further := range []func() ([]string, error){
		func() ([]string, error) { return missingPrivileges(ctx, tx, m) },
		func() ([]string, error) { return missingReplicaIdentity(ctx, tx, m, unkeyed) },
		func() ([]string, error) { return missingPolicy(ctx, tx, m) },
	} {
		if err != nil {
			return nil, err
		}
		var more []string
		more, err = further()
		statements = append(statements, more...)
	}
	statements = append(statements, add...) // may delete rows, which the above allows
	if noted != nil && noted.Mode != m.Mode {
		statements = append(statements, fmt.Sprintf("-- the mode was %s and is %s: a backfill updates the rows", noted.Mode, m.Mode))
	}
	return statements, err
}

// alter returns a statement that alters the table.
func (a *alteration) alter(format string, args ...any) string {
	return "ALTER TABLE " + quoted(a.Table) + " " + fmt.Sprintf(format, args...)
}

func (a *alteration) add(format string, args ...any) {
	a.columns = append(a.columns, a.alter(format, args...))
}

func (a *alteration) column(name string) *tableColumn {
	at := slices.IndexFunc(a.found, func(c tableColumn) bool { return c.Name == name })
	if at < 0 {
		return nil
	}
	return &a.found[at]
}

func (a *alteration) wants(name string) bool {
	file := shapeOf(a.Mapping)
	return name == mapping.ScrapingJobID || name == file.Active || file.column(name).Name != ""
}

// renameColumns renames columns that are gone from the mapping to new ones with the same
// source and type.
func (a *alteration) renameColumns() {
	if a.noted == nil {
		return
	}
	for _, c := range a.Columns {
		for _, was := range a.noted.Columns {
			column := a.column(was.Name)
			if column != nil && a.column(c.Name) == nil && !a.wants(was.Name) && was.From == c.From && was.Type == c.Type {
				a.add("RENAME %s TO %s;", pq.QuoteIdentifier(was.Name), pq.QuoteIdentifier(c.Name))
				column.Name, a.renamed[c.Name] = c.Name, was.Name
			}
		}
	}
}

func (a *alteration) changeColumns() {
	a.want(mapping.ScrapingJobID, mapping.Integer, " NOT NULL DEFAULT 0;", true) // older than any job
	for _, c := range a.Columns {
		rest := ";"
		if c.Required { // existing rows have no value
			rest = "; -- NOT NULL once it is backfilled"
		}
		a.want(c.Name, c.Type, rest, c.Required)
	}
	if active := a.DeactivateMissing; active != nil {
		a.want(active.Column, mapping.Boolean, " NOT NULL DEFAULT true;", true)
	}
	for _, c := range a.found {
		name := pq.QuoteIdentifier(c.Name)
		if a.wants(c.Name) {
			continue
		}
		if c.Needed {
			a.add("ALTER %s DROP NOT NULL; -- or SET DEFAULT: no column of the mapping fills it", name)
		}
		if a.noted.column(c.Name).Name != "" {
			a.columns = append(a.columns, fmt.Sprintf("-- column %q stays with its values and is no longer filled", c.Name)) // %q escapes line breaks
		}
	}
}

// want adds the statements for a column; rest follows the type when the column is added.
func (a *alteration) want(name string, t mapping.Type, rest string, required bool) {
	c, quoted := a.column(name), pq.QuoteIdentifier(name)
	was := a.noted.column(cmp.Or(a.renamed[name], name))
	switch {
	case c == nil:
		a.add("ADD %s %s%s", quoted, t.PostgreSQL(), rest)
		a.empty = append(a.empty, name)
	case c.Generated:
		a.add("ALTER %s DROP EXPRESSION IF EXISTS, ALTER %[1]s DROP IDENTITY IF EXISTS; -- PostgreSQL generates it", quoted)
	case c.takes(t) && !c.narrows(was.Type, t):
		if was.Required && !required && c.NotNull {
			a.add("ALTER %s DROP NOT NULL;", quoted)
		}
	case t == mapping.Text, c.Type == "money", c.takes(t):
		if t == mapping.Integer {
			t = mapping.Numeric // PostgreSQL casts money to it
		}
		a.add("ALTER %s TYPE %s; -- it is %s%s", quoted, t.PostgreSQL(), c.Type, c.readsBy(t))
	default: // PostgreSQL would refuse or round some values
		a.setAside(c, t)
	}
}

// narrows reports whether a column loses values of the mapping's new type, although it can
// read them: text in a column that is not text, or fractions in an integer column.
func (c tableColumn) narrows(was, t mapping.Type) bool {
	return was != "" && was != t && (t == mapping.Text && !strings.Contains(" text varchar bpchar citext ", " "+c.Type+" ") ||
		t == mapping.Numeric && strings.Contains(" int2 int4 int8 ", " "+c.Type+" "))
}

// setAside renames a column to keep its values, and adds an empty one in its place.
func (a *alteration) setAside(c *tableColumn, t mapping.Type) {
	name, aside := c.Name, ""
	for n := 1; aside == "" || a.column(aside) != nil; n++ {
		aside = fmt.Sprintf("%s was %.15s", strings.ToValidUTF8(name[:min(len(name), 35)], ""), c.Type)
		if n > 1 {
			aside += fmt.Sprint(" ", n)
		}
	}
	c.Name = aside
	a.add("RENAME %s TO %s; -- it is %s%s", pq.QuoteIdentifier(name), pq.QuoteIdentifier(aside), c.Type, c.readsBy(t))
	a.add("ADD %s %s;", pq.QuoteIdentifier(name), t.PostgreSQL())
	a.empty = append(a.empty, name)
	a.found = append(a.found, tableColumn{Name: name})
}

// Unique indexes on exactly these columns, in any order.
const selectUniqueIndexes = `
SELECT format('%I.%I', relnamespace::regnamespace::name, relname) AS name, indisprimary AS primary,
       coalesce((SELECT min(conname) FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u')), '') AS "constraint"
FROM pg_index JOIN pg_class AS relation ON relation.oid = indexrelid
WHERE indrelid = to_regclass($1) AND indisunique AND indimmediate AND indisvalid AND indpred IS NULL AND indexprs IS NULL
  AND (SELECT array_agg(attname::text ORDER BY attname::text COLLATE "C") FROM pg_attribute
       WHERE attrelid = indrelid AND attnum = ANY(indkey[:indnkeyatts - 1])) = $2`

// One row per key can stay: that of the job that wins.
const deleteDuplicates = `DELETE FROM %[1]s AS extra USING (
    SELECT tableoid AS part, ctid AS place, row_number() OVER (PARTITION BY %[2]s ORDER BY scrapingjob_id %[3]s, ctid DESC) AS number
    FROM %[1]s WHERE (%[2]s) IS NOT NULL) AS each
WHERE number > 1 AND extra.tableoid = part AND extra.ctid = place;`

// changeKey returns the statements to run before and after the columns change. It drops
// indexes of the earlier key, which would refuse rows; unkeyed is set if that leaves the
// table without a primary key.
func (a *alteration) changeKey(ctx context.Context, tx transaction) (drop, add []string, unkeyed bool, err error) {
	key := shapeOf(a.Mapping).uniqueKey()
	now := slices.Clone(key)
	remake, allNotNull := false, true
	for i, name := range key {
		now[i] = cmp.Or(a.renamed[name], name)
		c := a.column(name)
		allNotNull = allNotNull && c != nil && c.NotNull
		remake = remake || slices.Contains(a.empty, name)
	}
	earlier := now
	if a.noted != nil {
		earlier = a.noted.uniqueKey()
	}
	slices.Sort(now)
	earlier = slices.Sorted(slices.Values(earlier))
	var existing, dropped []struct {
		Name, Constraint string
		Primary          bool
	}
	if err := tx.SelectContext(ctx, &existing, selectUniqueIndexes, quoted(a.Table), pq.StringArray(now)); err != nil {
		return nil, nil, false, err
	}
	if remake || !slices.Equal(now, earlier) {
		if err := tx.SelectContext(ctx, &dropped, selectUniqueIndexes, quoted(a.Table), pq.StringArray(earlier)); err != nil {
			return nil, nil, false, err
		}
	}
	primary := false
	for _, index := range dropped {
		primary = primary || index.Primary
		if index.Constraint != "" {
			drop = append(drop, a.alter("DROP CONSTRAINT %s;", pq.QuoteIdentifier(index.Constraint)))
		} else {
			drop = append(drop, "DROP INDEX "+index.Name+";")
		}
	}
	if len(key) == 0 || len(existing) > 0 && !remake {
		return drop, nil, primary, nil
	}
	list := nameList("", key)
	if a.noted != nil && !remake {
		order := "DESC"
		if a.Mode == mapping.Append {
			order = "ASC"
		}
		add = append(add, fmt.Sprintf(deleteDuplicates, quoted(a.Table), list, order))
	}
	if primary && allNotNull {
		add, primary = append(add, a.alter("ADD PRIMARY KEY (%s);", list)), false
	} else {
		add = append(add, fmt.Sprintf("CREATE UNIQUE INDEX ON %s (%s);", quoted(a.Table), list))
	}
	if len(earlier) > 0 && slices.Contains(earlier, mapping.ScrapingJobID) && key[0] != mapping.ScrapingJobID {
		add = append(add, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (scrapingjob_id);", pq.QuoteIdentifier(a.Table.Name+"_scrapingjob_id_idx"), quoted(a.Table)))
	}
	return drop, add, primary, nil
}
