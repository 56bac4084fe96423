// Package jsontext processes JSON text without decoding it into values. It allocates only
// for escapes and new shapes, and validates no more than it needs: its results for invalid
// JSON are unspecified, but it always terminates.
package jsontext

// Members walks the members of a JSON object.
type Members struct {
	text []byte
	// at is the index of the next member or of the closing brace, and len(text) once text
	// is invalid.
	at int
}

// MembersOf returns an iterator positioned before the first member of object.
func MembersOf(object []byte) Members {
	at := skipSpace(object, 0)
	if at == len(object) || object[at] != '{' {
		return Members{}
	}
	return Members{text: object, at: skipSpace(object, at+1)}
}

// Member is a member of an object, as JSON text.
type Member struct {
	// Text is the key with its quotes, the colon and the value.
	Text               []byte
	keyEnd, valueStart int
}

// Key returns the text between the key's quotes.
func (m Member) Key() []byte { return m.Text[1:m.keyEnd] }

// Value returns the value's text, a string with its quotes.
func (m Member) Value() []byte { return m.Text[m.valueStart:] }

// Next returns the next member. ok is false after the last one, and where the text is
// invalid: see [Members.Ended].
func (m *Members) Next() (member Member, ok bool) {
	text, begin := m.text, m.at
	if begin == len(text) || text[begin] != '"' {
		return Member{}, false
	}
	m.at = len(text)
	keyEnd := StringEnd(text, begin)
	colon := skipSpace(text, keyEnd)
	if keyEnd == 0 || colon == len(text) || text[colon] != ':' {
		return Member{}, false
	}
	value := skipSpace(text, colon+1)
	var end int
	if value < len(text) && text[value] == '"' { // as most are
		end = StringEnd(text, value)
	} else {
		end = valueEnd(text, value)
	}
	if end <= value {
		return Member{}, false
	}
	m.advance(end)
	return Member{Text: text[begin:end], keyEnd: keyEnd - 1 - begin, valueStart: value - begin}, true
}

// advance moves from the end of a member to the next one, or to the closing brace.
func (m *Members) advance(end int) {
	text, at := m.text, end
	if at+1 < len(text) && text[at] == ',' && text[at+1] == '"' { // as most are
		m.at = at + 1
		return
	}
	m.at = len(text)
	at = skipSpace(text, at)
	if at == len(text) {
		return
	}
	switch text[at] {
	case '}':
		m.at = at
	case ',':
		if at = skipSpace(text, at+1); at < len(text) && text[at] == '"' {
			m.at = at
		}
	}
}

// Ended reports whether Next has returned all members of the object.
func (m *Members) Ended() bool { return m.at < len(m.text) && m.text[m.at] == '}' }

// valueEnd returns the index after the value that starts at begin, begin if there is none,
// or 0 if it does not end.
func valueEnd(text []byte, begin int) int {
	depth := 0
	for at := begin; at < len(text); at++ {
		switch c := text[at]; c {
		case '"':
			end := StringEnd(text, at)
			if depth == 0 || end == 0 {
				return end
			}
			at = end - 1
		case '{', '[':
			depth++
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return at
			}
		case '}', ']':
			if c == '}' && depth == 0 {
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return 0
}

// skipSpace returns the index of the first byte at or after at that is not white space.
func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n') {
		at++
	}
	return at
}
