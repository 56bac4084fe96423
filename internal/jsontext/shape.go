package jsontext

import "bytes"

// Shape is of objects with the same names, texts as their values, and no white space
// around them, as nearly all are that are exported.
type Shape struct {
	around []string // the texts before, between and after the values
}

// NewShape returns the shape of objects whose members have these keys, as they stand
// between their quotes.
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

// Split appends the members of the object as they stand in it, if it is of the shape;
// none is of a nil Shape.
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
