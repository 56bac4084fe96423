package webscrapertest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Request is an API call that the cloud has seen. It never holds the token.
type Request struct {
	Time   time.Time
	Method string
	Path   string     // below BasePath: "scraping-job/500/json"
	Query  url.Values // without api_token
	ID     int64      // of the job in the path, else 0
	Range  string     // the Range header
	Status int        // of the answer; 0 while it is being answered or when the connection was cut before
	Bytes  int64      // of the body of the answer, as sent
}

// Requests is every API call so far, oldest first, those that are still being
// answered among them.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// record notes a request; done completes the note when it has been answered.
func (c *Cloud) record(r *http.Request, answer *responseRecorder) (done func()) {
	query := r.URL.Query()
	query.Del("api_token")
	seen := Request{
		Time:   c.options.Clock(),
		Method: r.Method,
		Path:   strings.TrimPrefix(r.URL.Path, BasePath),
		Query:  query,
		ID:     pathID(r),
		Range:  r.Header.Get("Range"),
	}
	c.mu.Lock()
	index := len(c.requests)
	c.requests = append(c.requests, seen)
	c.mu.Unlock()

	return func() {
		c.mu.Lock()
		c.requests[index].Status, c.requests[index].Bytes = answer.status, answer.bytes
		c.mu.Unlock()
		c.options.Logger.Debug("API call", "method", seen.Method, "path", seen.Path, "status", answer.status, "bytes", answer.bytes)
	}
}

type responseRecorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *responseRecorder) WriteHeader(status int) {
	r.status = cmp.Or(r.status, status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *responseRecorder) Write(p []byte) (int, error) {
	r.status = cmp.Or(r.status, http.StatusOK)
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *responseRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
