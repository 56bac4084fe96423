package webscraper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxErrorBytes bounds how much of an error response is read.
const maxErrorBytes = 64 << 10

// responseError turns a response with an unexpected status into an [*Error].
func (c *Client) responseError(req request, resp *http.Response, body io.Reader) *Error {
	// A partial body says more than the read error.
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	return c.bodyError(req, resp, text)
}

// bodyError turns an unexpected response into an [*Error].
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
		e.Message = "the body reports neither success nor an error: " + c.excerpt(string(body))
	}
	return e
}

// validationErrors decodes {"field":["complaint",…],…}. It returns nil for
// anything else, such as the empty array that PHP writes for an empty map.
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

// firstString returns the first value that is a non-empty JSON string.
func firstString(values ...json.RawMessage) (string, bool) {
	for _, value := range values {
		var text string
		if json.Unmarshal(value, &text) == nil && text != "" {
			return text, true
		}
	}
	return "", false
}
