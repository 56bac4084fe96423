package webscrapertest

import (
	"bytes"
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

func writeValidationErrors(w http.ResponseWriter, errors map[string][]string) {
	writeJSON(w, statusValidationFailed, answer{ValidationErrors: errors})
}

// form is a JSON object sent to the API, and what is wrong with it, in the
// words of the service's framework (Laravel).
type form struct {
	fields map[string]any // numbers are json.Number
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
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if decoder.Decode(&f.fields) != nil {
		f.fields = nil
	}
	for _, field := range required {
		if f.text(field) == "" {
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

// text is a field as the framework takes it, a number as its digits; "" when it is
// missing or null.
func (f *form) text(field string) string {
	if f.fields[field] == nil {
		return ""
	}
	return fmt.Sprint(f.fields[field])
}

func (f *form) oneOf(field string, values ...string) string {
	text := f.text(field)
	if text != "" && !slices.Contains(values, text) {
		f.fail(field, "The selected "+spell(field)+" is invalid.")
	}
	return text
}

func (f *form) integer(field string) int64 {
	text := f.text(field)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f.fail(field, "The "+spell(field)+" must be an integer.")
	}
	return n
}

func (f *form) urls(field string) (urls []string) {
	list, _ := f.fields[field].([]any)
	for i, each := range list {
		text := fmt.Sprint(each)
		if parsed, err := url.Parse(text); err != nil || parsed.Host == "" {
			name := fmt.Sprintf("%s.%d", field, i)
			f.fail(name, "The "+spell(name)+" must be a valid URL.")
		}
		urls = append(urls, text)
	}
	return urls
}

// spell is a field's name as the framework's messages have it.
func spell(field string) string { return strings.ReplaceAll(field, "_", " ") }
