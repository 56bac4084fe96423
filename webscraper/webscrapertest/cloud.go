package webscrapertest

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// BasePath is the path of the API on a Cloud: a client's base URI is the server's URL
// followed by BasePath.
const BasePath = "/api/v1/"

// Cloud is the fake: an [http.Handler] that serves the API of Web Scraper Cloud under
// [BasePath] and sends its webhooks. It is safe for concurrent use. Create one with
// [New] or [NewServer].
type Cloud struct {
	// URL is the base URI for clients, such as "http://127.0.0.1:12345/api/v1/". Only
	// [NewServer] sets it.
	URL string

	options Options
	limit   rateLimit
	api     http.Handler

	jobIDs, sitemapIDs *ids

	mu            sync.Mutex
	accounts      []*Cloud // the others
	tokens        []string // the valid ones
	known         []string // the valid and the withdrawn ones
	jobs          map[int64]*job
	sitemaps      map[int64]Sitemap
	requests      []Request
	webhookURL    string
	webhookClient http.Client
	faults        []*Injection
}

// New returns a Cloud without jobs. It panics on invalid options. If jobs have a
// [Timeline], run [Cloud.Run] in a goroutine.
func New(options Options) *Cloud {
	options = options.withDefaults()
	c := &Cloud{
		options: options,
		limit:   rateLimit{calls: options.RateLimitCalls, per: options.RateLimitWindow},
		// IDs start at 500 and 123, as in the service's documentation.
		jobIDs:     &ids{last: 499},
		sitemapIDs: &ids{last: 122},
		tokens:     options.Tokens,
		known:      options.Tokens,
		jobs:       make(map[int64]*job),
		sitemaps:   make(map[int64]Sitemap),
		webhookURL: options.WebhookURL,
		// Redirects are not followed: like every status of 300 or more, they are failures.
		webhookClient: http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	c.api = c.authenticate(c.limitRate(c.routes()))
	return c
}

// ServeHTTP answers one API request.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	account := c.accountOf(r.URL.Query().Get("api_token"))
	c.mu.Unlock()
	recorded := &responseRecorder{ResponseWriter: w}
	defer account.record(r, recorded)()
	account.dueEffect(r)(account, account.api).ServeHTTP(recorded, r)
}

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET account": func(w http.ResponseWriter, _ *http.Request) { writeData(w, c.options.Account) },

		"POST scraping-job":                      c.createJob,
		"GET scraping-jobs":                      c.listJobs,
		"GET scraping-job/{id}":                  c.withJob(c.getJob),
		"DELETE scraping-job/{id}":               c.withJob(c.deleteJob),
		"GET scraping-job/{id}/json":             c.withJob(c.downloadJSON),
		"GET scraping-job/{id}/csv":              c.withJob(c.downloadCSV),
		"GET scraping-job/{id}/problematic-urls": c.withJob(c.listProblematicURLs),
		"GET scraping-job/{id}/data-quality":     c.withJob(c.getDataQuality),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+BasePath+path, handler)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeError(w, http.StatusNotFound) })
	return mux
}

// pathID returns the ID in the path of a request, or 0. IDs start at 1.
func pathID(r *http.Request) int64 {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, BasePath), "/")
	if len(parts) < 2 {
		return 0
	}
	id, _ := strconv.ParseInt(parts[1], 10, 64) // else 0
	return id
}
