package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// shape is what a mapping determines of its table. scrapehaul.mapped_tables stores the one
// that the table was created for or last migrated to.
type shape struct {
	Columns []shapeColumn `json:"columns"`
	Key     []string      `json:"key,omitempty"`
	Mode    mapping.Mode  `json:"mode"`
	Active  string        `json:"active,omitempty"` // the column of deactivate_missing
}

type shapeColumn struct {
	Name     string       `json:"name"`
	From     string       `json:"from"` // identifies a renamed column; not part of the table
	Type     mapping.Type `json:"type"`
	Required bool         `json:"required,omitempty"`
}

func shapeOf(m *mapping.Mapping) *shape {
	s := &shape{Key: m.Key, Mode: m.Mode}
	for _, c := range m.Columns {
		s.Columns = append(s.Columns, shapeColumn{c.Name, c.From, c.Type, c.Required})
	}
	if m.DeactivateMissing != nil {
		s.Active = m.DeactivateMissing.Column
	}
	return s
}

// column returns the zero value if the shape is nil or has no such column.
func (s *shape) column(name string) (none shapeColumn) {
	if s != nil {
		for _, c := range s.Columns {
			if c.Name == name {
				return c
			}
		}
	}
	return none
}

// facts returns what differences compares, with readable values.
func (s *shape) facts() map[string]string {
	facts := map[string]string{"the mode": string(s.Mode)}
	for _, c := range s.Columns {
		facts[fmt.Sprintf("column %q", c.Name)] = string(c.Type)
		if c.Required {
			facts[fmt.Sprintf("column %q", c.Name)] += " and required"
		}
	}
	if s.Active != "" {
		facts[fmt.Sprintf("column %q", s.Active)] = "for deactivate_missing"
	}
	if len(s.Key) > 0 {
		facts["the key"] = strings.Join(slices.Sorted(slices.Values(s.Key)), ", ")
	}
	return facts
}

// differences returns a sentence for each difference between the table and a file.
func (s *shape) differences(file *shape) (differ []string) {
	ours, theirs := s.facts(), file.facts()
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		switch was, is := ours[what], theirs[what]; {
		case was == is:
		case was == "":
			differ = append(differ, fmt.Sprintf("%s (%s) is in the file only", what, is))
		case is == "":
			differ = append(differ, fmt.Sprintf("%s (%s) is in the table only", what, was))
		default:
			differ = append(differ, fmt.Sprintf("%s is %s in the table and %s in the file", what, was, is))
		}
	}
	return differ
}

const (
	selectShape = `SELECT shape FROM scrapehaul.mapped_tables WHERE table_name = $1`
	insertShape = `
INSERT INTO scrapehaul.mapped_tables AS noted (table_name, shape) VALUES ($1, $2)
ON CONFLICT (table_name) DO UPDATE SET shape = excluded.shape, changed_at = now() WHERE noted.shape <> excluded.shape`
)

// notedShape returns the recorded shape of a table, nil if there is none.
func notedShape(ctx context.Context, tx transaction, table mapping.Table) (*shape, error) {
	var noted []byte
	err := tx.GetContext(ctx, &noted, selectShape, table.String())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	s := new(shape)
	if err == nil {
		err = json.Unmarshal(noted, s)
	}
	return s, doing(err, "reading the shape of table %s", table)
}

func noteShape(ctx context.Context, tx transaction, m *mapping.Mapping) error {
	encoded, err := json.Marshal(shapeOf(m))
	if err == nil {
		_, err = tx.ExecContext(ctx, insertShape, m.Table.String(), string(encoded))
	}
	return doing(err, "recording the shape of table %s", m.Table)
}

// MappingsError is a problem with this worker's mappings file. Another worker may have the
// right one.
type MappingsError struct{ sentence string }

// Error says what is wrong and what to do.
func (e *MappingsError) Error() string { return e.sentence }

// checkShape returns a MappingsError for a table that was created for another mapping or
// migrated to one.
func checkShape(ctx context.Context, tx transaction, m *mapping.Mapping) (noted *shape, err error) {
	noted, err = notedShape(ctx, tx, m.Table)
	if noted == nil || err != nil {
		return nil, err
	}
	if differ := noted.differences(shapeOf(m)); len(differ) > 0 {
		return noted, &MappingsError{fmt.Sprintf("this worker publishes nothing into it, because its mappings file (MAPPINGS) differs from the one that the table was created for or last migrated to: %s; "+
			"give the worker that file, or run worker migrate-mapping with this one", strings.Join(differ, "; "))}
	}
	return noted, nil
}
