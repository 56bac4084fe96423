package webscraper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Error is an unexpected response: a status other than success, an envelope with
// "success": false, a redirect, or a body that is not the API's JSON. Find it with
// [errors.As]. It never contains the token.
type Error struct {
	// Operation is the attempted operation, such as "get scraping job 500".
	Operation string
	// Method and Path are the request's, the path without its query; empty for a
	// call that was not sent.
	Method, Path string
	// RedirectedTo is the scheme and host of the server that responded, if the
	// download was redirected; empty if it was the API.
	RedirectedTo string
	// StatusCode is the HTTP status of the response.
	StatusCode int
	// Message is the server's message, such as "An error occured" (their spelling),
	// or what is wrong with its response. It is empty if there are only
	// ValidationErrors.
	Message string
	// ValidationErrors has the server's complaints by field of the request; nil for
	// none.
	ValidationErrors map[string][]string
	// RetryAfter is how long to wait before retrying: the server's Retry-After plus
	// the second that the vendor's clients add. It is 0 if the server asked for no
	// wait, and never 0 after a 429.
	RetryAfter time.Duration
}

// Error returns one line with the operation, the path, the status and the
// server's message.
func (e *Error) Error() string {
	text := "webscraper: " + e.Operation + ": "
	if e.Method != "" {
		text += e.Method + " " + e.Path + ": "
	}
	text += strings.TrimSpace(fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode)))
	var said []string
	if e.Message != "" {
		said = append(said, e.Message)
	}
	for _, field := range slices.Sorted(maps.Keys(e.ValidationErrors)) {
		said = append(said, field+": "+strings.Join(e.ValidationErrors[field], ", "))
	}
	if len(said) > 0 {
		text += ": " + strings.Join(said, "; ")
	}
	return text
}

// redirected turns the error into a response of host, the target of a redirect, unless
// that is "". It drops the message, which may repeat a signed URL.
func (e *Error) redirected(host string) *Error {
	if host != "" {
		e.RedirectedTo, e.Message, e.ValidationErrors = host, "response from "+host+", where the API redirected the download", nil
	}
	return e
}

// IsNotFound reports whether err says that the scraping job or sitemap does
// not exist, or no longer does (404).
func IsNotFound(err error) bool { return withStatus(err, http.StatusNotFound) != nil }

// IsUnauthorized reports whether err says that the API rejected the token (401), or
// that there was none to send; see [WithTokenSource].
func IsUnauthorized(err error) bool { return withStatus(err, http.StatusUnauthorized) != nil }

// IsRateLimited reports whether err says that the API limit is reached (429),
// and how long to wait before the next call.
func IsRateLimited(err error) (time.Duration, bool) {
	if limited := withStatus(err, http.StatusTooManyRequests); limited != nil {
		return limited.RetryAfter, true
	}
	return 0, false
}

// withStatus returns err as the API's response with that status, or nil.
func withStatus(err error, status int) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e.StatusCode == status && e.RedirectedTo == "" {
		return e
	}
	return nil
}

// timeoutError says that this client stopped waiting. Like the timeouts of
// net/http it is a [net.Error] and matches [context.DeadlineExceeded].
type timeoutError string

func (e timeoutError) Error() string      { return string(e) }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
