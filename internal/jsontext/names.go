package jsontext

import (
	"bytes"
	"slices"
)

// Names finds names that JSON objects have twice. It is fast for objects with the
// members of the one before.
type Names struct {
	shape  *Shape   // that of objects with these members, once two have had them
	names  []*name  // those of the object in hand, or of the one before
	values [][]byte // of an object that is of the shape
	known  map[string]*name
	bytes  int      // what known takes, about
	object int64    // counts the objects
	inside [][]byte // names of the objects that a place in a value is in
	begins []int    // where in inside those of each object or array begin
}

// name is one, with text as it stands between its quotes.
type name struct {
	text string
	same *name // itself, or the one that it is another spelling of
	in   int64 // the last object that had the name, in any spelling
}

// maxBytes is what the known names may take, save for a single object with more.
const maxBytes = 1 << 20

// Twice reports whether the object has two members of one name, and returns a name
// that an object inside of it has twice, as it stands there, or nil. What is not JSON
// is looked through as far as it is.
func (n *Names) Twice(object []byte) (own bool, inside []byte) {
	if n.values, own = n.shape.Split(object, n.values[:0]); own {
		return false, nil
	}
	if n.bytes > maxBytes || n.known == nil {
		n.known, n.bytes, n.names = map[string]*name{}, 0, nil
	}
	n.object++
	at, asBefore, members := 0, true, MembersOf(object)
	for member, more := members.Next(); more; member, more = members.Next() {
		if key := member.Key(); at == len(n.names) || n.names[at].text != string(key) {
			asBefore = false
			n.names = append(n.names[:at], n.find(key))
		}
		same := n.names[at].same
		own = own || same.in == n.object
		same.in = n.object
		if value := member.Value(); inside == nil && (value[0] == '{' || value[0] == '[') {
			inside = n.twiceInside(value)
		}
		at++
	}
	if !asBefore || at != len(n.names) {
		n.names, n.shape = n.names[:at], nil
	} else if n.shape == nil && !own {
		n.shape = NewShape(func(yield func(string) bool) {
			for _, name := range n.names {
				if !yield(name.text) {
					return
				}
			}
		})
	}
	return own, inside
}

func (n *Names) find(text []byte) *name {
	if known := n.known[string(text)]; known != nil {
		return known
	}
	found := &name{text: string(text)}
	n.known[found.text] = found
	n.bytes += 2*len(text) + 100
	found.same = found
	if plain := plainName(text); !bytes.Equal(plain, text) {
		found.same = n.find(plain)
	}
	return found
}

// plainName is the spelling of a name without escapes, as far as there is one.
func plainName(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	_, text = Unescape(nil, text)
	quoted := AppendQuote(nil, text)
	return quoted[1 : len(quoted)-1]
}

// maxDepth is how deep objects and arrays may be in each other for encoding/json.
const maxDepth = 10_000

// twiceInside goes through a value once, as far as it is no deeper than JSON may be.
func (n *Names) twiceInside(value []byte) []byte {
	n.inside, n.begins = n.inside[:0], n.begins[:0]
	for at := 0; at < len(value); at++ {
		switch value[at] {
		case '"':
			end := StringEnd(value, at)
			if end == 0 {
				return nil
			}
			if colon := skipSpace(value, end); colon < len(value) && value[colon] == ':' {
				n.inside = append(n.inside, plainName(value[at+1:end-1]))
			}
			at = end - 1
		case '{', '[':
			if len(n.begins) == maxDepth {
				return nil
			}
			n.begins = append(n.begins, len(n.inside))
		case '}', ']':
			if len(n.begins) == 0 {
				return nil
			}
			begin := n.begins[len(n.begins)-1]
			names := n.inside[begin:]
			slices.SortFunc(names, bytes.Compare)
			for i := range names {
				if i > 0 && bytes.Equal(names[i-1], names[i]) {
					return names[i]
				}
			}
			n.inside, n.begins = n.inside[:begin], n.begins[:len(n.begins)-1]
		}
	}
	return nil
}
