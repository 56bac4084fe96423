package webscrapertest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Request is an API call that the cloud received. It never contains the token.
type Request struct {
	Time   time.Time
	Method string
	Path   string     // below BasePath: "scraping-job/500/json"
	Query  url.Values // without api_token
	ID     int64      // of the job in the path, else 0
	Range  string     // the Range header
	Status int        // of the response; 0 before it, or if the connection was cut first
	Bytes  int64      // of the response body, as sent
}

// Requests returns every API call so far, including those in progress, oldest first.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// record stores a request; done adds the response.
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

// Unwrap is for http.ResponseController.
func (r *responseRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
