package jsontext

import (
	"bytes"
	"slices"
)

// Names finds names that JSON objects have twice. It is fast for objects with the
// members of the one before.
type Names struct {
	shape  *Shape   // that of objects with these members, once two have had them
	values [][]byte // of an object that is of the shape
	// before has the keys of the object before, a quote after each, and own says whether
	// it had one twice.
	before, buffer []byte
	own            bool
	keys           [][]byte // of the object in hand
	inside         [][]byte // names of the objects that a place in a value is in
	begins         []int    // where in inside those of each object or array begin
}

// Twice reports whether the object has two members of one name, and returns a name
// that an object inside of it has twice, as it stands there, or nil. What is not JSON
// is looked through as far as it is.
func (n *Names) Twice(object []byte) (own bool, inside []byte) {
	if n.values, own = n.shape.Split(object, n.values[:0]); own {
		return false, nil
	}
	n.keys, n.buffer = n.keys[:0], n.buffer[:0]
	members := MembersOf(object)
	for member, more := members.Next(); more; member, more = members.Next() {
		n.keys = append(n.keys, member.Key())
		n.buffer = append(append(n.buffer, member.Key()...), '"')
		if value := member.Value(); inside == nil && (value[0] == '{' || value[0] == '[') {
			inside = n.twiceInside(value)
		}
	}
	if !bytes.Equal(n.buffer, n.before) {
		n.before, n.buffer, n.shape = n.buffer, n.before, nil
		for i, key := range n.keys {
			n.keys[i] = plainName(key)
		}
		n.own = twice(n.keys) != nil
	} else if n.shape == nil && !n.own {
		n.shape = NewShape(n.keys)
	}
	return n.own, inside
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
			if name := twice(n.inside[begin:]); name != nil {
				return name
			}
			n.inside, n.begins = n.inside[:begin], n.begins[:len(n.begins)-1]
		}
	}
	return nil
}

// twice sorts the names and returns one that is there twice, or nil.
func twice(names [][]byte) []byte {
	slices.SortFunc(names, bytes.Compare)
	for i := range names {
		if i > 0 && bytes.Equal(names[i-1], names[i]) {
			return names[i]
		}
	}
	return nil
}
