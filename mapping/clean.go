package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// parseJSON is the name of the only cleaner that does not return text. It must be the last
// one, in a JSONB column.
const parseJSON = "parse-json"

// cleaner changes the text of a value. It returns a part of text, or appends the result to
// into and returns the longer buffer. A nil result is NULL.
type cleaner func(into, text []byte) (longer, cleaned []byte, err error)

// cleaners are all cleaners by name, except parse-json.
var cleaners = map[string]cleaner{
	"trim":           trim,
	"empty-is-null":  nullIf(func(text []byte) bool { return len(text) == 0 }),
	"null-text":      nullIf(func(text []byte) bool { return bytes.EqualFold(bytes.TrimSpace(text), []byte("null")) }),
	"money":          money.clean,
	"money-comma":    moneyComma.clean,
	"first-number":   firstNumber,
	"lower":          changeCase(unicode.ToLower),
	"upper":          changeCase(unicode.ToUpper),
	"collapse-space": collapseSpace,
}

// cleanerNames are the names of all cleaners, in the order of error messages.
var cleanerNames = []string{
	"trim", "collapse-space", "lower", "upper", "empty-is-null", "null-text", "money", "money-comma", "first-number", parseJSON,
}

func trim(into, text []byte) (longer, cleaned []byte, err error) {
	trimmed := bytes.TrimSpace(text)
	if trimmed == nil { // only white space
		trimmed = text[:0]
	}
	return into, trimmed, nil
}

func nullIf(is func(text []byte) bool) cleaner {
	return func(into, text []byte) (longer, cleaned []byte, err error) {
		if is(text) {
			return into, nil, nil
		}
		return into, text, nil
	}
}

func changeCase(change func(rune) rune) cleaner {
	return func(into, text []byte) (longer, cleaned []byte, err error) {
		begin := len(into)
		for _, r := range jsontext.AsString(text) {
			into = utf8.AppendRune(into, change(r))
		}
		return into, into[begin:], nil
	}
}

func collapseSpace(into, text []byte) (longer, cleaned []byte, err error) {
	begin := len(into)
	for word := range bytes.FieldsSeq(text) {
		if len(into) > begin {
			into = append(into, ' ')
		}
		into = append(into, word...)
	}
	return into, into[begin:], nil
}

var errNotJSON = errors.New("is not JSON")

// parsedJSON returns the text, nil for null. PostgreSQL refuses JSON that jsonb cannot
// store.
func parsedJSON(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil, nil
	}
	return text, nil
}
