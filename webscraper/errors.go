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

// Error is an answer of the server that is not the one promised: a status
// other than success, an envelope with "success": false, a redirect, or a body
// that is not the API's JSON. Find it with [errors.As]. It never contains the
// token.
type Error struct {
	// Operation is what was asked for, such as "get scraping job 500".
	Operation string
	// Method and Path are those of the request, the path without its query; empty
	// for a call that was not sent.
	Method, Path string
	// RedirectedTo is the scheme and host that a download was redirected to and that
	// has answered; empty when it was the API.
	RedirectedTo string
	// StatusCode is the HTTP status of the answer.
	StatusCode int
	// Message is what the server said, such as "An error occured" (their
	// spelling), or what is wrong with its answer. It is empty if there is
	// nothing but ValidationErrors.
	Message string
	// ValidationErrors holds the server's complaints by field of the request;
	// nil if it made none.
	ValidationErrors map[string][]string
	// RetryAfter is how long to wait before the call is worth sending again: the
	// server's Retry-After plus the second that the vendor's clients add. It is
	// 0 if the server asked for no wait, and never 0 after a 429.
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

// redirected is the error as an answer of another host than the API, unless that
// is "". What it has said may repeat its URL, which may be signed.
func (e *Error) redirected(host string) *Error {
	if host != "" {
		e.RedirectedTo, e.Message, e.ValidationErrors = host, "answered by "+host+", where the API has redirected the download", nil
	}
	return e
}

// IsNotFound reports whether err says that the scraping job or sitemap does
// not exist, or no longer does (404).
func IsNotFound(err error) bool { return withStatus(err, http.StatusNotFound) != nil }

// IsUnauthorized reports whether err says that the API token was refused (401), or
// that there was none to send, see [WithTokenSource].
func IsUnauthorized(err error) bool { return withStatus(err, http.StatusUnauthorized) != nil }

// IsRateLimited reports whether err says that the API limit is reached (429),
// and how long to wait before the next call.
func IsRateLimited(err error) (time.Duration, bool) {
	if answer := withStatus(err, http.StatusTooManyRequests); answer != nil {
		return answer.RetryAfter, true
	}
	return 0, false
}

// withStatus is the API's answer of that status, nil if err is none.
func withStatus(err error, status int) *Error {
	if answer, ok := errors.AsType[*Error](err); ok && answer.StatusCode == status && answer.RedirectedTo == "" {
		return answer
	}
	return nil
}

// timeoutError says that this client gave up waiting. Like the timeouts of
// net/http it is a [net.Error] and matches [context.DeadlineExceeded].
type timeoutError string

func (e timeoutError) Error() string      { return string(e) }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
