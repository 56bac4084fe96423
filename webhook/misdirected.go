package webhook

import (
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/scrapehaul/scrapehaul/internal/validate"
)

// handleElsewhere takes what has no route and is meant for the webhook all the same:
// another spelling of its path is taken, and what only comes near it is refused.
func (h *handler) handleElsewhere(c *gin.Context) {
	lower := strings.ToLower(c.Request.URL.Path)
	_, token := c.GetQuery("token")
	isPath := path.Clean(strings.TrimSpace(lower)) == strings.ToLower(h.path)
	switch {
	case isPath && c.Request.Method == http.MethodPost:
		h.handle(c)
	case isPath && token:
		c.Header("Allow", http.MethodPost)
		h.answerRefusal(c, none, refuse(http.StatusMethodNotAllowed, "a %s has come: want a POST. "+
			"A redirect on the way, of http to https for instance, makes a GET of it: enter the URL that it leads to", c.Request.Method))
	case c.Request.Method == http.MethodPost && (token || strings.Contains(lower, "webhook") || strings.Contains(lower, "webscraper")):
		h.answerRefusal(c, none, refuse(http.StatusNotFound, "nothing is at %s: the webhook's path is %s", h.shown(c.Request.URL.Path), h.path))
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

// sparing bounds the lines of the log for what anybody can cause: one a second, each
// with how many were left out before it.
type sparing struct {
	mu      sync.Mutex
	next    time.Time
	leftOut int
}

// line says whether to log, and how many were not logged since the last one.
func (s *sparing) line() (leftOut int, log bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.next) {
		s.leftOut++
		return 0, false
	}
	leftOut, s.leftOut, s.next = s.leftOut, 0, now.Add(time.Second)
	return leftOut, true
}
