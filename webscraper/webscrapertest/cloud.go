package webscrapertest

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// BasePath is where the API stands on a Cloud: a client's base URI is the
// server's URL followed by it.
const BasePath = "/api/v1/"

// Cloud is the stand-in: an [http.Handler] that serves the API of Web Scraper
// Cloud under [BasePath] and sends its webhooks. All its methods may be called
// at the same time. Make one with [New] or [NewServer].
type Cloud struct {
	// URL is the base URI for clients of a Cloud that [NewServer] has made, such as
	// "http://127.0.0.1:12345/api/v1/".
	URL string

	options Options
	limit   rateLimit
	api     http.Handler

	jobIDs, sitemapIDs *ids

	mu            sync.Mutex
	accounts      []*Cloud // the others
	tokens        []string // those that are valid now
	known         []string // and those that were
	jobs          map[int64]*job
	sitemaps      map[int64]Sitemap
	requests      []Request
	webhookURL    string
	webhookClient http.Client
	faults        []*Injection
}

// New makes a Cloud without any jobs. It panics on options that make no sense. Where jobs have a [Timeline], let
// [Cloud.Run] run beside it.
func New(options Options) *Cloud {
	options = options.withDefaults()
	c := &Cloud{
		options: options,
		limit:   rateLimit{calls: options.RateLimitCalls, per: options.RateLimitWindow},
		// As in the service's documentation, ids start at 500 and 123.
		jobIDs:     &ids{last: 499},
		sitemapIDs: &ids{last: 122},
		tokens:     options.Tokens,
		known:      options.Tokens,
		jobs:       make(map[int64]*job),
		sitemaps:   make(map[int64]Sitemap),
		webhookURL: options.WebhookURL,
		// A redirect is an answer: of a status of 300 or more, it is a failure.
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

// pathID is the id in the path of a request, 0 when there is none. Ids start
// at 1.
func pathID(r *http.Request) int64 {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, BasePath), "/")
	if len(parts) < 2 {
		return 0
	}
	id, _ := strconv.ParseInt(parts[1], 10, 64) // else 0
	return id
}
