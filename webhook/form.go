package webhook

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// decode reads the form that Web Scraper Cloud sends. Unknown fields and statuses are
// accepted: the API is the source of truth.
func decode(body []byte, contentType string) (workflows.Notification, error) {
	values, err := parseForm(body, contentType)
	if err != nil {
		return none, err
	}
	form := form{values: values, problems: map[string]string{}}
	notification := workflows.Notification{
		ScrapingJobID: form.id("scrapingjob_id"),
		Status:        form.text("status"),
		SitemapID:     form.id("sitemap_id"),
		SitemapName:   form.text("sitemap_name"),
		CustomID:      form.only("custom_id"),
	}
	if len(form.problems) > 0 {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(form.problems)) {
			all = append(all, name+" "+form.problems[name])
		}
		return none, &refusal{http.StatusBadRequest, answerMalformed, refusedBody{
			Error:  "the form has bad fields: " + strings.Join(all, "; "),
			Fields: form.problems,
		}}
	}
	return notification, nil
}

// parseForm returns the fields of a form, without files.
func parseForm(body []byte, contentType string) (url.Values, error) {
	contentType, parameters, err := mime.ParseMediaType(contentType)
	if contentType != multipartForm {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "the body is not a urlencoded form: %v", err)
		}
		return values, nil
	}
	var form *multipart.Form
	if err == nil {
		form, err = multipart.NewReader(bytes.NewReader(body), parameters["boundary"]).ReadForm(maxBodyBytes)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not a multipart form: %v", err)
	}
	return form.Value, nil
}

// form collects the problem of each invalid field.
type form struct {
	values   url.Values
	problems map[string]string
}

// only returns the field's value, "" if it is missing.
func (f form) only(name string) string {
	values := f.values[name]
	if len(values) > 1 {
		f.problems[name] = fmt.Sprintf("occurs %d times, first as %s", len(values), quote(values[0]))
	}
	return f.values.Get(name)
}

// text returns a required field.
func (f form) text(name string) string {
	value := f.only(name)
	if value == "" {
		f.problems[name] = f.missing(name)
	}
	return value
}

// id returns a required field with a positive 64-bit number.
func (f form) id(name string) int64 {
	value := f.only(name)
	id, err := strconv.ParseInt(value, 10, 64)
	switch {
	case f.problems[name] != "":
	case value == "":
		f.problems[name] = f.missing(name)
	case err != nil || id <= 0 || value[0] == '+':
		f.problems[name] = fmt.Sprintf("is %s: want a positive decimal number", quote(value))
	}
	return id
}

func (f form) missing(name string) string {
	if f.values.Has(name) {
		return `is "": want a value`
	}
	return "is missing"
}

// quote quotes an arbitrary value, shortened.
func quote(value string) string {
	const maxLength = 100
	if len(value) > maxLength {
		return fmt.Sprintf("%q… (%d bytes)", value[:maxLength], len(value))
	}
	return strconv.Quote(value)
}
