package postgres

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// maxMembers bounds what is kept of records with very many members.
const maxMembers = 2 * maxColumns

// recordWriter writes records as COPY's text format wants them, and takes note
// of their columns.
//
// It spares PostgreSQL work that takes longer there: the members of an object are
// written in the order that jsonb keeps them in, and slashes without the
// backslashes that the exports have before them. The value is the same, and what
// is not JSON stays so.
type recordWriter struct {
	// columns are those of the records since the reset, in the spelling of the
	// views; two spellings of a key are one column twice.
	columns []string
	// added are the keys whose columns are in columns, as they stand in the JSON.
	added map[string]bool

	// keys are those of the record before, which are nearly always the next one's,
	// and order is that of their members in jsonb, empty if it is not known.
	keys  []string
	order []int
	// shape is that of records with the keys, once two have had them.
	shape *jsontext.Shape
	// members are those of the record in hand.
	members [][]byte
}

// reset forgets the columns.
func (w *recordWriter) reset() {
	w.columns = w.columns[:0]
	clear(w.added)
	w.keys, w.shape = w.keys[:0], nil
}

// append appends the record, without the newline at its end.
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

// look takes note of the record's columns and finds its members; what is not JSON
// is looked through as far as it is. It says whether the members stand apart: the
// record has nothing but a comma between them and the braces around them. Then it
// is JSON in any order of them, or in none.
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

// meet notes the key of the n-th member.
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

// sort finds the order of the keys in jsonb: by length, then by bytes, and of
// equal ones the last, which counts, after the others. Keys with escapes can be
// equal to others that are written differently.
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
