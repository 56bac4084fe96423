package statuspage

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gin-gonic/gin"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Limits of a page.
const (
	openPerPage     = 50
	historyPerPage  = 25
	rejectedShown   = 5
	rejectedContent = 200 // bytes
)

// reloadEvery is how often a live page reloads, in seconds.
const reloadEvery = 10

// frame has the common parts of all pages.
type frame struct {
	Base    string // path of the overview
	Title   string
	Now     time.Time
	Reload  int  // seconds; 0 for never
	Paused  bool // the viewer stopped reloading
	Notice  string
	Outages []outage
	Token   string // of the page's forms
	query   url.Values
}

func (h *handler) frame(c *gin.Context, title string) frame {
	query := c.Request.URL.Query()
	return frame{Base: base(c), Title: title, Now: time.Now().UTC(), Paused: query.Get("reload") == "off", Token: h.credentials.formToken(c), query: query}
}

// Link returns a link to this page with a parameter set to a value, or without it.
func (f frame) Link(parameter, value string) string {
	query := url.Values{}
	maps.Copy(query, f.query)
	if query.Del(parameter); value != "" {
		query.Set(parameter, value)
	}
	return "?" + query.Encode()
}

// reload makes the page reload itself, unless it is static, because it has buttons or
// nothing to wait for, or the viewer stopped reloading.
func (f *frame) reload(static bool) {
	if !static && !f.Paused {
		f.Reload = reloadEvery
	}
}

// At returns a time for the templates that show one.
func (f frame) At(t time.Time) instant { return instant{t.UTC(), f.Now} }

type instant struct{ Time, Now time.Time }

// Relative formats the time relative to the page's.
func (i instant) Relative() string { return relative(i.Time, i.Now) }

// With combines an import with its page, for a template.
func (f frame) With(i importView) importOnPage { return importOnPage{f, i} }

type importOnPage struct {
	frame
	Import importView
}

type overviewPage struct {
	frame
	// WaitingForToken are the accounts whose imports wait for their API token, Attention
	// the other imports that need attention.
	WaitingForToken          []overview.WaitingForToken
	Attention, Running, Held []importView
	// First is set on the first page of open imports.
	First bool
	// Unknown is how many open imports may need attention; Checked is how many were checked
	// if only those on the first page were, 0 if all.
	Unknown int
	Checked int
	Older   string // token of the next page of open imports
	history
}

// ToDo returns how many things need attention.
func (p overviewPage) ToDo() int { return len(p.WaitingForToken) + len(p.Attention) }

type history struct {
	Imports []pastView
	// Before is the page's position in the history, 0 for the newest imports; OlderImports
	// is that of the next page, 0 if there is none.
	Before, OlderImports int64
}

type pastView struct {
	postgres.PastImport
	UI string
}

// NamedAccount returns the import's account, "" for the default one.
func (v pastView) NamedAccount() string { return overview.NamedAccount(v.Account) }

// Took returns how long the import took, from its first record to its publish.
func (v pastView) Took() string {
	if !v.PublishedAt.Valid {
		return ""
	}
	return took(v.PublishedAt.Time.Sub(v.StartedAt))
}

func (h *handler) showOverview(c *gin.Context) {
	page := overviewPage{frame: h.frame(c, "Imports")}
	token, err := base64.RawURLEncoding.DecodeString(c.Query("open"))
	before, ok := historyPosition(c)
	if err != nil || !ok {
		h.refuseAddress(c, "Nothing on this page links to that address.")
		return
	}
	page.First = len(token) == 0
	page.Outages = h.read(c, func(ctx context.Context) error {
		return h.readOpen(ctx, token, &page)
	}, func(ctx context.Context) (err error) {
		page.history, err = h.readHistory(ctx, postgres.HistoryQuery{Before: before})
		return err
	})
	page.frame.reload(len(page.Attention) > 0)
	h.render(c, http.StatusOK, "overview.html", page)
}

// historyPosition reads the start of the history page from the query.
func historyPosition(c *gin.Context) (before int64, ok bool) {
	before, err := strconv.ParseInt(c.DefaultQuery("before", "0"), 10, 64)
	return before, err == nil && before >= 0
}

// read reads both sources concurrently, and returns those that are unavailable.
func (h *handler) read(c *gin.Context, fromTemporal, fromPostgres func(context.Context) error) (outages []outage) {
	var found [2]*outage
	var reading sync.WaitGroup
	reading.Go(func() { found[0] = h.temporal.read(c.Request.Context(), fromTemporal) })
	reading.Go(func() { found[1] = h.postgres.read(c.Request.Context(), fromPostgres) })
	reading.Wait()
	for _, each := range found {
		if each != nil {
			outages = append(outages, *each)
		}
	}
	return outages
}

// readOpen reads a page of the open imports and, with the first page, all that need
// attention.
func (h *handler) readOpen(ctx context.Context, token []byte, page *overviewPage) error {
	open, next, err := h.reader.Open(ctx, openPerPage, token)
	if err == nil && page.First {
		page.WaitingForToken, err = h.reader.WaitingForToken(ctx)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	page.Attention, page.Held, page.Running = split(h.viewImports(open, now))
	for _, each := range open {
		if !each.ProgressKnown {
			page.Unknown++
		}
	}
	if len(next) == 0 {
		return nil
	}
	page.Older = base64.RawURLEncoding.EncodeToString(next)
	if !page.First {
		return nil
	}
	attention, unknown, err := h.reader.NeedingAttention(ctx)
	if err != nil {
		h.options.Logger.Warn("Checking all open imports for attention failed; showing the newest only", "error", err)
		page.Checked = len(open)
		return nil
	}
	page.Attention, page.Unknown = h.viewImports(attention, now), unknown
	return nil
}

func (h *handler) readHistory(ctx context.Context, query postgres.HistoryQuery) (history, error) {
	query.Limit = historyPerPage + 1 // one more, to detect a next page
	past, err := h.options.Store.History(ctx, query)
	if err != nil {
		return history{}, err
	}
	page := history{Before: query.Before}
	if len(past) > historyPerPage {
		past = past[:historyPerPage]
		page.OlderImports = past[len(past)-1].ImportID
	}
	for _, each := range past {
		page.Imports = append(page.Imports, pastView{each, h.temporalUI(each.ScrapingJobID, each.WorkflowRunID)})
	}
	return page, nil
}

type importPage struct {
	frame
	ScrapingJobID int64
	// Import is nil if Temporal has none or is unavailable.
	Import *importView
	// Rejects are the first rejected or unmapped records of import RejectsOf.
	Rejects   []postgres.RejectedRecord
	RejectsOf *pastView
	history
}

func (h *handler) showImport(c *gin.Context) {
	id, ok := h.scrapingJobID(c)
	if !ok {
		return
	}
	page := importPage{frame: h.frame(c, "Scraping job "+workflows.WorkflowID(id)), ScrapingJobID: id}
	before, ok := historyPosition(c)
	if !ok {
		h.refuseAddress(c, "Nothing on this page links to that address.")
		return
	}
	page.Notice = h.takeNotice(c)
	page.Outages = h.read(c, func(ctx context.Context) error {
		found, err := h.reader.Import(ctx, id)
		if errors.Is(err, overview.ErrNotFound) {
			return nil
		}
		if err == nil {
			view := h.viewImport(found, time.Now())
			page.Import = &view
		}
		return err
	}, func(ctx context.Context) (err error) {
		if page.history, err = h.readHistory(ctx, postgres.HistoryQuery{ScrapingJobID: id, Before: before}); err != nil {
			return err
		}
		return h.readRejects(ctx, &page)
	})
	if page.Import == nil && len(page.Imports) == 0 && len(page.Outages) == 0 && before == 0 {
		h.refuse(c, http.StatusNotFound, "Scraping job "+workflows.WorkflowID(id)+" was never imported",
			"Neither Temporal nor the database has an import of it. If the job exists, \"starter import "+workflows.WorkflowID(id)+"\" imports it.")
		return
	}
	// An import that has ended or needs attention does not change by itself.
	live := page.Import != nil && page.Import.Open && !page.Import.Waits()
	page.frame.reload(!live && len(page.Outages) == 0)
	h.render(c, http.StatusOK, "import.html", page)
}

// readRejects reads the rejected and unmapped records of the newest import on the page that
// has any. Those of replaced imports are removed.
func (h *handler) readRejects(ctx context.Context, page *importPage) (err error) {
	for n := range page.Imports {
		each := &page.Imports[n]
		if each.Bad() == 0 || !each.KeepsRejected() {
			continue
		}
		page.RejectsOf = each
		page.Rejects, err = h.options.Store.Rejected(ctx, each.ImportID, rejectedShown, rejectedContent)
		return err
	}
	return nil
}

// scrapingJobID reads the ID in the path, or answers that there is no such page.
func (h *handler) scrapingJobID(c *gin.Context) (id int64, ok bool) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id <= 0 || workflows.WorkflowID(id) != c.Param("id") {
		h.refuseAddress(c, "The address must end in the ID of a scraping job, a positive number.")
		return 0, false
	}
	return id, true
}

type problemPage struct {
	frame
	Text string
	ID   string // of the scraping job, if any
}

// refuseAddress answers that there is no such page, and why.
func (h *handler) refuseAddress(c *gin.Context, why string) {
	h.refuse(c, http.StatusNotFound, "There is no such page", why+" Go back to the overview.")
}

// refuse answers with a page that describes the problem and what to do.
func (h *handler) refuse(c *gin.Context, status int, title, text string) {
	page := problemPage{frame: h.frame(c, title), Text: text}
	if id, err := strconv.ParseInt(c.Param("id"), 10, 64); err == nil && id > 0 && status != http.StatusNotFound && status != http.StatusUnauthorized {
		page.ID = workflows.WorkflowID(id)
	}
	h.render(c, status, "problem.html", page)
	c.Abort()
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"number": humanize.Comma, "size": size, "printable": printable,
}).ParseFS(files, "templates/*.html"))

// render writes the complete page, or an error.
func (h *handler) render(c *gin.Context, status int, name string, page any) {
	var text bytes.Buffer
	if err := pages.ExecuteTemplate(&text, name, page); err != nil {
		h.options.Logger.Error("Rendering a page failed", "template", name, "error", err)
		c.String(http.StatusInternalServerError, "Rendering this page failed. See the log.\n")
		return
	}
	c.Data(status, "text/html; charset=utf-8", text.Bytes())
}
