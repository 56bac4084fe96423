package statuspage

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/postgres"
)

const pagePath = "/imports"

// Options are the options of the status page.
type Options struct {
	// Client reaches Temporal. Required.
	Client client.Client
	// Namespace is the client's namespace. Required.
	Namespace string
	// Store reads the history. Required.
	Store *postgres.Store
	// User and Password are the credentials for HTTP Basic authentication. Both are
	// required; the password must have at least 12 characters.
	User, Password string
	// TemporalUIURL is the Temporal UI to link to, such as
	// "https://temporal.example.com". Default: no links.
	TemporalUIURL string
	// Logger gets a line for each signal sent or refused, and when Temporal or PostgreSQL
	// becomes unavailable or available again. Default: slog.Default().
	Logger *slog.Logger
}

func (o *Options) validate() error {
	var problems []error
	if o.Client == nil {
		problems = append(problems, errors.New("Client is missing"))
	}
	if o.Namespace == "" {
		problems = append(problems, errors.New("Namespace is missing"))
	}
	if o.Store == nil {
		problems = append(problems, errors.New("Store is missing"))
	}
	problems = append(problems,
		validate.User("User", o.User), validate.Password("Password", o.Password), validate.TemporalUIURL("TemporalUIURL", o.TemporalUIURL))
	return errors.Join(problems...)
}

// handler serves the page.
type handler struct {
	options     Options
	reader      overview.Reader
	credentials credentials
	crossOrigin *http.CrossOriginProtection
	temporal    source
	postgres    source
}

const stylePath = "/style.css"

// Register adds the page to the router at /imports, with a page for each import at
// /imports/1234 and for each sitemap at /imports/sitemap?sitemap=my-sitemap. It returns an
// error that names every invalid option.
func Register(router gin.IRoutes, options Options) error {
	if err := options.validate(); err != nil {
		return fmt.Errorf("status page options: %w", err)
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	options.TemporalUIURL = strings.TrimRight(options.TemporalUIURL, "/")
	known, err := newCredentials(options.User, options.Password)
	if err != nil {
		return fmt.Errorf("status page: deriving a key from the password: %w", err)
	}
	h := &handler{
		options:     options,
		reader:      overview.Reader{Temporal: options.Client, GroupByAccount: true},
		credentials: known,
		crossOrigin: http.NewCrossOriginProtection(),
		temporal:    source{name: "Temporal", logger: options.Logger},
		postgres:    source{name: "PostgreSQL", logger: options.Logger},
	}
	router.GET(pagePath, h.guard, h.showOverview)
	router.GET(pagePath+stylePath, h.guard, showStyle)
	router.GET(pagePath+sitemapPath, h.guard, h.showSitemap)
	router.GET(pagePath+"/:id", h.guard, h.showImport)
	router.GET(pagePath+"/:id/:signal", h.guard, h.confirm)
	router.POST(pagePath+"/:id/:signal", h.guard, h.signal)
	return nil
}

// base returns the page's path, including the prefix of a router group.
func base(c *gin.Context) string {
	route := c.FullPath()
	return route[:strings.LastIndex(route, pagePath)+len(pagePath)]
}

const contentSecurityPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxFormBytes is well above the size of the page's forms.
const maxFormBytes = 4 << 10

// guard admits requests that have the credentials and do not come from another site.
func (h *handler) guard(c *gin.Context) {
	for name, value := range map[string]string{
		"Content-Security-Policy":      contentSecurityPolicy,
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Frame-Options":              "DENY",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
	} {
		c.Header(name, value)
	}
	switch known, tooMany := h.credentials.check(c); {
	case tooMany:
		c.Header("Retry-After", fmt.Sprint(int(guessWindow/time.Second)))
		h.refuse(c, http.StatusTooManyRequests, "Too many wrong passwords",
			"Too many wrong passwords came from this address. Wait a minute, then reload this page.")
		return
	case !known:
		c.Header("WWW-Authenticate", `Basic realm="scrapehaul", charset="UTF-8"`)
		h.refuse(c, http.StatusUnauthorized, "Credentials required",
			"This page needs the starter's user and password: STATUS_PAGE_USER and STATUS_PAGE_PASSWORD.")
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxFormBytes)
	if err := h.crossOrigin.Check(c.Request); err != nil {
		h.options.Logger.Warn("Signal refused", "path", c.Request.URL.Path, "error", err)
		h.refuse(c, http.StatusForbidden, "Not sent from this page",
			"The request came from another site, so nothing was done. Open the import on this page and press its button there.")
	}
}

//go:embed style.css templates/*.html
var files embed.FS

func showStyle(c *gin.Context) { c.FileFromFS("style.css", http.FS(files)) }
