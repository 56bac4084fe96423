package webscraper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxErrorBytes bounds what is read of an answer that is an error.
const maxErrorBytes = 64 << 10

// answerError turns an answer with an unexpected status into an [*Error].
func (c *Client) answerError(req request, resp *http.Response, body io.Reader) *Error {
	// What could be read says more than why the rest could not.
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	return c.bodyError(req, resp, text)
}

// bodyError turns an answer that is not the promised one into an [*Error].
func (c *Client) bodyError(req request, resp *http.Response, body []byte) *Error {
	e := &Error{
		Operation:  req.operation,
		Method:     req.method,
		Path:       resp.Request.URL.Path,
		StatusCode: resp.StatusCode,
		RetryAfter: retryAfter(resp, time.Now()),
	}
	var env envelope
	jsonErr := json.Unmarshal(body, &env)
	e.ValidationErrors = c.validationErrors(env.ValidationErrors)
	message, ok := firstString(env.Error, env.Message)
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return c.redirectError(req, resp, resp.Request.URL, "check the base URI")
	case ok:
		e.Message = c.shorten(message, 500)
	case e.ValidationErrors != nil:
	case len(bytes.TrimSpace(body)) == 0:
		e.Message = "the body is empty"
	case jsonErr != nil:
		e.Message = fmt.Sprintf("the body is not the API's JSON (Content-Type %q): %s",
			c.shorten(resp.Header.Get("Content-Type"), 100), c.excerpt(string(body)))
	default:
		e.Message = "the body says neither success nor error: " + c.excerpt(string(body))
	}
	return e
}

// validationErrors decodes {"field":["complaint",…],…}. Anything else, such as
// the empty array that PHP makes of an empty map, is nil.
func (c *Client) validationErrors(data json.RawMessage) map[string][]string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil || len(fields) == 0 {
		return nil
	}
	complaints := make(map[string][]string, len(fields))
	for field, value := range fields {
		var list []string
		if text, ok := firstString(value); ok {
			list = []string{text}
		} else if json.Unmarshal(value, &list) != nil {
			list = []string{string(value)}
		}
		for i, complaint := range list {
			list[i] = c.shorten(complaint, 500)
		}
		complaints[c.shorten(field, 100)] = list
	}
	return complaints
}

// firstString returns the first of values that is a JSON string with any text.
func firstString(values ...json.RawMessage) (string, bool) {
	for _, value := range values {
		var text string
		if json.Unmarshal(value, &text) == nil && text != "" {
			return text, true
		}
	}
	return "", false
}
