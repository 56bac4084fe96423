package jsontext

import (
	"bytes"
	"slices"
)

// Names finds duplicate names in JSON objects. It is fast for objects with the same
// members as the previous one.
type Names struct {
	shape  *Shape   // of the previous objects, once two had the same members
	values [][]byte // of an object of the shape
	// before has the keys of the previous object, each followed by a quote, and own says
	// whether it had a duplicate.
	before, buffer []byte
	own            bool
	keys           [][]byte // of the current object
	inside         [][]byte // names in the objects that enclose the current position
	begins         []int    // where the names of each object or array start in inside
}

// Twice reports whether the object has two members of one name, and returns a duplicate
// name of a nested object, as written there, or nil. It reads invalid JSON as far as it is
// valid.
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

// plainName returns the name with as few escapes as possible.
func plainName(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	_, text = Unescape(nil, text)
	quoted := AppendQuote(nil, text)
	return quoted[1 : len(quoted)-1]
}

// maxDepth is encoding/json's limit for nesting.
const maxDepth = 10_000

// twiceInside scans a value once, down to maxDepth.
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

// twice sorts the names and returns a duplicate, or nil.
func twice(names [][]byte) []byte {
	slices.SortFunc(names, bytes.Compare)
	for i := range names {
		if i > 0 && bytes.Equal(names[i-1], names[i]) {
			return names[i]
		}
	}
	return nil
}
