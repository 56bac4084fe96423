package postgres

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// maxMembers limits what is remembered of records with very many members.
const maxMembers = 2 * maxColumns

// recordWriter writes records in COPY's text format and collects their columns.
//
// It does work that takes PostgreSQL longer: it writes the members of an object in jsonb's
// order, and drops the backslashes that exports put before slashes. The value stays the same,
// and invalid JSON stays invalid.
type recordWriter struct {
	// columns are the columns since the last reset, in the spelling of the views. A key with
	// two spellings is there twice.
	columns []string
	// added has the keys whose columns are in columns, as JSON text.
	added map[string]bool

	// keys are those of the previous record, and nearly always of the next. order is their
	// order in jsonb, empty if unknown.
	keys  []string
	order []int
	// shape matches records with these keys, once two records had them.
	shape *jsontext.Shape
	// members are those of the current record.
	members [][]byte
}

// reset forgets the columns.
func (w *recordWriter) reset() {
	w.columns = w.columns[:0]
	clear(w.added)
	w.keys, w.shape = w.keys[:0], nil
}

// append appends the record without a trailing newline.
func (w *recordWriter) append(to, record []byte) []byte {
	if apart := w.scan(record); !apart || len(w.order) == 0 || hasWhitespaceToEscape(record) {
		return appendEscaped(to, record)
	}
	to = append(to, '{')
	for i, at := range w.order {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendBackslashed(to, w.members[at], true)
	}
	return append(to, '}')
}

// scan collects the record's columns and finds its members, up to the first invalid JSON. apart
// is true if the record is only the members, commas between them and the braces. Then
// reordering the members does not change whether it is JSON.
func (w *recordWriter) scan(record []byte) (apart bool) {
	if w.members, apart = w.shape.Split(record, w.members[:0]); apart {
		return true
	}
	w.members = w.members[:0]
	same := true
	members := jsontext.MembersOf(record[max(0, bytes.IndexByte(record, '{')):])
	length := len("{}") - len(",")
	for len(w.members) < maxMembers {
		member, ok := members.Next()
		if !ok {
			break
		}
		n := len(w.members)
		if key := member.Key(); n == len(w.keys) || w.keys[n] != string(key) {
			same = false
			w.meet(n, string(key))
		}
		w.members = append(w.members, member.Text)
		length += len(",") + len(member.Text)
	}
	if n := len(w.members); !same || n != len(w.keys) {
		w.keys, w.shape = w.keys[:n], nil
		w.sort()
	} else if w.shape == nil {
		w.shape = jsontext.NewShape(w.keys)
	}
	return members.Ended() && length == len(record)
}

// meet records the key of the n-th member.
func (w *recordWriter) meet(n int, key string) {
	w.keys = append(w.keys[:n], key)
	if w.added[key] || len(w.added) == maxMembers {
		return
	}
	if w.added == nil {
		w.added = map[string]bool{}
	}
	w.added[key] = true
	if column, ok := columnOf(key); ok {
		w.columns = append(w.columns, column)
	}
}

// sort sets order to jsonb's order of the keys: by length, then by bytes. Of equal keys the
// last wins, so it stays last. Keys with escapes are not sorted: they can equal keys that are
// written differently.
func (w *recordWriter) sort() {
	w.order = w.order[:0]
	if slices.ContainsFunc(w.keys, func(key string) bool { return strings.Contains(key, `\`) }) {
		return
	}
	for i := range w.keys {
		w.order = append(w.order, i)
	}
	slices.SortStableFunc(w.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(len(w.keys[a]), len(w.keys[b])), cmp.Compare(w.keys[a], w.keys[b]))
	})
}
