package webscraper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// maxResponseBytes bounds a response that is not a download. The largest are sitemaps
// with many start URLs.
const maxResponseBytes = 32 << 20

// request is one API call.
type request struct {
	operation string // for errors and logs: "get scraping job 500"
	method    string
	path      string // relative to the base URI
	query     url.Values
	header    http.Header
	body      []byte // JSON; nil for none
}

// requestAbout returns a request about the object with that ID, which replaces the %d of
// operation and path.
func requestAbout(id int64, operation, method, path string) request {
	return request{operation: fmt.Sprintf(operation, id), method: method, path: fmt.Sprintf(path, id)}
}

// envelope wraps every response but a download.
type envelope struct {
	Error            json.RawMessage `json:"error"`
	Message          json.RawMessage `json:"message"` // in errors of Laravel, the API's framework
	ValidationErrors json.RawMessage `json:"validationErrors"`
	Data             json.RawMessage `json:"data"`
	Success          bool            `json:"success"`
	LastPage         int64           `json:"last_page"`
}

// UnmarshalJSON decodes a response as the API spells it.
func (e *envelope) UnmarshalJSON(data []byte) error { return decodeObject(data, e) }

// get sends req and returns the object of its response.
func get[T any](ctx context.Context, c *Client, req request) (*T, error) {
	object := new(T)
	if _, err := c.call(ctx, req, object); err != nil {
		return nil, err
	}
	return object, nil
}

// call sends req and decodes the data of its response into out, unless that is nil. For a
// list it returns the number of the last page, or 0 if the response does not say.
func (c *Client) call(ctx context.Context, req request, out any) (lastPage int, err error) {
	env, err := c.callOnce(ctx, req)
	if err != nil || out == nil {
		return 0, err
	}
	if len(env.Data) == 0 || string(env.Data) == "null" {
		return 0, fmt.Errorf("webscraper: %s: the response has no data", req.operation)
	}
	if err := json.Unmarshal(env.Data, out); err != nil {
		return 0, fmt.Errorf("webscraper: %s: the response data %s is not as documented: %w",
			req.operation, c.excerpt(string(env.Data)), c.redactError(err))
	}
	return int(env.LastPage), nil
}

func (c *Client) callOnce(ctx context.Context, req request) (envelope, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, timeoutError(fmt.Sprintf("no complete response within %v", c.timeout)))
	defer cancel()
	resp, err := c.roundTrip(ctx, req)
	if err != nil {
		return envelope{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return envelope{}, c.responseError(req, resp, resp.Body)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes+1))
	if err != nil {
		return envelope{}, fmt.Errorf("webscraper: %s: reading the response: %w", req.operation, c.transportError(ctx, err))
	}
	if len(body) > maxResponseBytes {
		return envelope{}, fmt.Errorf("webscraper: %s: the response is larger than %d bytes", req.operation, maxResponseBytes)
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil || !env.Success {
		return envelope{}, c.bodyError(req, resp, body)
	}
	return env, nil
}

// roundTrip sends req once and returns the response, whatever its status. The caller
// must close its body.
func (c *Client) roundTrip(ctx context.Context, req request) (*http.Response, error) {
	token, err := c.tokens.next()
	if err != nil {
		return nil, &Error{Operation: req.operation, StatusCode: http.StatusUnauthorized, Message: "not sent: " + c.shorten(err.Error(), 500)}
	}
	answered, err := c.take(ctx, req)
	if err != nil {
		return nil, err
	}
	httpReq, err := c.newHTTPRequest(ctx, req, token)
	if err != nil {
		return nil, fmt.Errorf("webscraper: %s: %w", req.operation, c.transportError(ctx, err))
	}
	start := time.Now()
	resp, err := c.http.Do(httpReq)
	if err != nil {
		return nil, c.requestError(ctx, req, httpReq, err)
	}
	resp.Request = httpReq // a RoundTripper need not set it
	answered(resp)
	c.logger.DebugContext(ctx, "Web Scraper Cloud answered", "operation", req.operation, "method", req.method,
		"path", httpReq.URL.Path, "status", resp.StatusCode, "duration", time.Since(start),
		"rate_limit_remaining", resp.Header.Get("X-RateLimit-Remaining"))
	return resp, nil
}

func (c *Client) requestError(ctx context.Context, req request, sent *http.Request, err error) error {
	return fmt.Errorf("webscraper: %s: %s %s: %w", req.operation, req.method, sent.URL.Path, c.transportError(ctx, err))
}

// tokenParameter is the query parameter for the token.
const tokenParameter = "api_token"

func (c *Client) newHTTPRequest(ctx context.Context, req request, token string) (*http.Request, error) {
	query := url.Values{tokenParameter: {token}}
	maps.Copy(query, req.query)
	u := c.baseURI.JoinPath(req.path)
	u.RawQuery = query.Encode()
	var body io.Reader
	if req.body != nil {
		body = bytes.NewReader(req.body)
	}
	httpReq, err := http.NewRequestWithContext(ctx, req.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	httpReq.Header.Set("Accept", "application/json, */*")
	httpReq.Header.Set("User-Agent", userAgent)
	if req.body != nil {
		httpReq.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(httpReq.Header, req.header)
	return httpReq, nil
}
