package jsontext

import "bytes"

// Shape describes objects that have the same names, only strings as values, and no white
// space: nearly all exported objects.
type Shape struct {
	around []string // the text before, between and after the values
}

// NewShape returns the shape of objects with these keys, each as written between its
// quotes.
func NewShape[K string | []byte](keys []K) *Shape {
	s := &Shape{}
	before := `{"`
	for _, key := range keys {
		s.around = append(s.around, before+string(key)+`":"`)
		before = `","`
	}
	s.around = append(s.around, `"}`)
	return s
}

// Split appends the text of the object's members if the object has the shape. No object has
// a nil Shape.
func (s *Shape) Split(object []byte, to [][]byte) (members [][]byte, ok bool) {
	if s == nil || !bytes.HasPrefix(object, []byte(s.around[0])) {
		return to, false
	}
	begin, at := len("{"), len(s.around[0])
	for _, around := range s.around[1:] {
		opening, quote := at-1, bytes.IndexByte(object[at:], '"')
		if at += quote; quote > 0 && object[at-1] == '\\' {
			at = StringEnd(object, opening) - 1
		}
		if quote < 0 || at < 0 || len(object)-at < len(around) || string(object[at:at+len(around)]) != around {
			return to, false
		}
		to = append(to, object[begin:at+1])
		begin, at = at+len(`",`), at+len(around)
	}
	return to, at == len(object)
}
