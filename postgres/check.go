package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// CheckRecord returns an error that says why data, one record of a download, cannot be
// stored as a jsonb object: it is not JSON (a truncated line, for example), not an object,
// not UTF-8, or has an escape that jsonb cannot represent (\u0000, a lone surrogate).
// PostgreSQL has further limits, which few records exceed; committing a batch finds those.
func CheckRecord(data []byte) error {
	if jsontext.IsPlain(data) {
		return nil
	}
	if !json.Valid(data) {
		return syntaxError(data)
	}
	if first := bytes.TrimLeft(data, " \t\r\n")[0]; first != '{' {
		return fmt.Errorf("not a JSON object but %s", kind(first))
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("invalid UTF-8 at byte %d", invalidUTF8(data))
	}
	if at := jsontext.UnstorableEscape(data); at >= 0 {
		escape := data[at : at+len(`\u0000`)]
		if string(escape) == `\u0000` {
			return fmt.Errorf(`\u0000 at byte %d: PostgreSQL's text cannot hold it`, at+1)
		}
		return fmt.Errorf(`lone surrogate %s at byte %d`, escape, at+1)
	}
	return nil
}

// syntaxError says what is wrong with data that json.Valid rejects.
func syntaxError(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	var syntax *json.SyntaxError
	switch {
	case !errors.As(err, &syntax):
		return fmt.Errorf("not JSON: %w", err)
	case syntax.Offset >= int64(len(data)) && syntax.Error() == "unexpected end of JSON input":
		return fmt.Errorf("cut off: the JSON ends in the middle, after %d bytes", len(data))
	default:
		return fmt.Errorf("not JSON: %w at byte %d", err, syntax.Offset)
	}
}

// kind names the type of a JSON value by its first byte.
func kind(first byte) string {
	if name, ok := map[byte]string{'[': "an array", '"': "a string", 't': "a boolean", 'f': "a boolean", 'n': "null"}[first]; ok {
		return name
	}
	return "a number"
}

func invalidUTF8(data []byte) int {
	at := 1
	for r, size := utf8.DecodeRune(data); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRune(data) {
		at, data = at+size, data[size:]
	}
	return at
}
