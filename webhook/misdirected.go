package webhook

import (
	"cmp"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
)

// accountParameter is the path parameter; a host's router may have others.
const accountParameter = "webscraper_account"

// accountOf returns the account in the path's last segment, which may be empty.
func accountOf(segment string) (account string, ok bool) {
	account = cmp.Or(strings.ToLower(strings.TrimSpace(segment)), sink.DefaultAccount)
	return account, validate.Account("", account) == nil
}

// handleElsewhere handles requests without a route. It accepts other spellings of the
// webhook's path, and refuses requests that come close to it.
func (h *handler) handleElsewhere(c *gin.Context) {
	lower := strings.ToLower(c.Request.URL.Path)
	_, token := c.GetQuery("token")
	rest, isPath := strings.CutPrefix(path.Clean(strings.TrimSpace(lower))+"/", strings.ToLower(h.path)+"/")
	account, valid := accountOf(strings.TrimSuffix(rest, "/"))
	isPath = isPath && valid
	switch {
	case isPath && c.Request.Method == http.MethodPost:
		h.handle(c, account)
	case isPath && token:
		c.Header("Allow", http.MethodPost)
		h.answerRefusal(c, none, refuse(http.StatusMethodNotAllowed, "got a %s, want a POST. "+
			"A redirect, from http to https for instance, turns a POST into a GET: enter the URL it leads to", c.Request.Method))
	case c.Request.Method == http.MethodPost && (token || strings.Contains(lower, "webhook") || strings.Contains(lower, "webscraper")):
		h.answerRefusal(c, none, refuse(http.StatusNotFound, "nothing is at %s: the webhook's path is %s, or %s/NAME for a named account",
			h.shown(c.Request.URL.Path), h.path, h.path))
	}
}

// shown returns a path for the log, without parts that may be a token, which may have
// slashes.
func (h *handler) shown(asked string) string {
	segments := strings.SplitN(asked, "/", strings.Count(h.path, "/")+2)
	for i, segment := range segments {
		if len(segment) >= validate.MinWebhookToken || i > strings.Count(h.path, "/") {
			segments[i] = "…"
		}
	}
	return quote(strings.Join(segments, "/"))
}
