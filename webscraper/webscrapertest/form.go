package webscrapertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// statusValidationFailed is the framework's default; which status the service
// uses is not documented.
const statusValidationFailed = http.StatusUnprocessableEntity

// maxBody bounds the request bodies that the stand-in reads.
const maxBody = 10 << 20

type validationAnswer struct {
	Success          bool                `json:"success"`
	ValidationErrors map[string][]string `json:"validationErrors"`
}

func writeValidationErrors(w http.ResponseWriter, errors map[string][]string) {
	writeJSON(w, statusValidationFailed, validationAnswer{ValidationErrors: errors})
}

// form is a JSON object sent to the API, and what is wrong with it, in the
// words of the service's framework (Laravel).
type form struct {
	fields map[string]json.RawMessage
	errors map[string][]string
}

// readForm reads the body of a request, and sees that the required fields are there.
// One that is not a JSON object is a form without fields, as the framework takes it.
// When the body cannot be read it answers 400 and returns false.
func readForm(w http.ResponseWriter, r *http.Request, required ...string) (*form, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, http.StatusBadRequest)
		return nil, false
	}
	f := &form{errors: make(map[string][]string)}
	if json.Unmarshal(body, &f.fields) != nil {
		f.fields = nil
	}
	for _, field := range required {
		if f.value(field) == nil {
			f.fail(field, "The "+spell(field)+" field is required.")
		}
	}
	return f, true
}

// refused answers with the errors, if there are any.
func (f *form) refused(w http.ResponseWriter) bool {
	if len(f.errors) == 0 {
		return false
	}
	writeValidationErrors(w, f.errors)
	return true
}

func (f *form) ok(field string) bool { return len(f.errors[field]) == 0 }

func (f *form) fail(field, message string) {
	f.errors[field] = append(f.errors[field], message)
}

// value is the JSON of a field, nil when it is missing, null or "".
func (f *form) value(field string) json.RawMessage {
	value := f.fields[field]
	if len(value) == 0 || string(value) == "null" || string(value) == `""` {
		return nil
	}
	return value
}

func (f *form) string(field string) string {
	value := f.value(field)
	var text string
	if value != nil && json.Unmarshal(value, &text) != nil {
		f.fail(field, "The "+spell(field)+" must be a string.")
	}
	return text
}

func (f *form) oneOf(field string, values ...string) string {
	text := f.string(field)
	if text != "" && !slices.Contains(values, text) {
		f.fail(field, "The selected "+spell(field)+" is invalid.")
	}
	return text
}

// integer takes a number, or digits in a string as the framework does.
func (f *form) integer(field string) int64 {
	value := f.value(field)
	if value == nil {
		return 0
	}
	n, err := strconv.ParseInt(f.text(field), 10, 64)
	if err != nil {
		f.fail(field, "The "+spell(field)+" must be an integer.")
	} else if n < 0 {
		f.fail(field, "The "+spell(field)+" must be at least 0.")
	}
	return n
}

func (f *form) urls(field string) []string {
	value := f.value(field)
	var list []string
	if value != nil && json.Unmarshal(value, &list) != nil {
		f.fail(field, "The "+spell(field)+" must be an array.")
	}
	for i, text := range list {
		if parsed, err := url.Parse(text); err != nil || parsed.Host == "" {
			name := fmt.Sprintf("%s.%d", field, i)
			f.fail(name, "The "+spell(name)+" must be a valid URL.")
		}
	}
	return list
}

// scalar is a number or a string, as text.
func (f *form) scalar(field string) string {
	text := f.text(field)
	if value := f.value(field); value != nil && strings.ContainsRune("{[tf", rune(value[0])) {
		f.fail(field, "The selected "+spell(field)+" is invalid.")
	}
	return text
}

// text is a field whose type is not certain: a string as it is, anything else
// as its JSON.
func (f *form) text(field string) string {
	value := f.value(field)
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// spell is a field's name as the framework's messages have it.
func spell(field string) string { return strings.ReplaceAll(field, "_", " ") }
