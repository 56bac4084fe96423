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

// accountParameter is the path's; a host's router may have others.
const accountParameter = "webscraper_account"

// accountOf is the account of the path's last segment, which may be empty.
func accountOf(segment string) (account string, ok bool) {
	account = cmp.Or(strings.ToLower(strings.TrimSpace(segment)), sink.DefaultAccount)
	return account, validate.Account("", account) == nil
}

// handleElsewhere takes what has no route and is meant for the webhook all the same:
// another spelling of its path is taken, and what only comes near it is refused.
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
		h.answerRefusal(c, none, refuse(http.StatusMethodNotAllowed, "a %s has come: want a POST. "+
			"A redirect on the way, of http to https for instance, makes a GET of it: enter the URL that it leads to", c.Request.Method))
	case c.Request.Method == http.MethodPost && (token || strings.Contains(lower, "webhook") || strings.Contains(lower, "webscraper")):
		h.answerRefusal(c, none, refuse(http.StatusNotFound, "nothing is at %s: the webhook's path is %s, or %s/NAME for a named account",
			h.shown(c.Request.URL.Path), h.path, h.path))
	}
}

// shown is a path as it may be logged: without what can be a token, which may have
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
