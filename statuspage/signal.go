package statuspage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/api/serviceerror"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

type confirmPage struct {
	frame
	Import importView
	Action action
}

// confirm shows the page that asks for confirmation of a signal.
func (h *handler) confirm(c *gin.Context) {
	found, what, ok := h.signalable(c)
	if !ok {
		return
	}
	h.render(c, http.StatusOK, "confirm.html", confirmPage{
		frame:  h.frame(c, what.Label+" scraping job "+workflows.WorkflowID(found.ScrapingJobID)),
		Import: h.viewImport(found, time.Now()), Action: what,
	})
}

// signalable returns the import and the signal in the path, or answers why the signal has
// no effect.
func (h *handler) signalable(c *gin.Context) (found overview.Import, what action, ok bool) {
	id, ok := h.scrapingJobID(c)
	if !ok {
		return found, what, false
	}
	signal := c.Param("signal")
	if label(signal) == "" {
		h.refuseAddress(c, "The address does not end in a signal for an import.")
		return found, what, false
	}
	var err error
	out := h.temporal.read(c.Request.Context(), func(ctx context.Context) error {
		if found, err = h.reader.Import(ctx, id); errors.Is(err, overview.ErrNotFound) {
			return nil
		}
		return err
	})
	switch {
	case out != nil:
		h.refuse(c, http.StatusServiceUnavailable, "Temporal cannot be reached",
			"Nothing was done. Temporal has been unavailable since "+out.Since.UTC().Format(time.DateTime)+" UTC. Try again once it is available.")
		return found, what, false
	case err != nil:
		h.refuse(c, http.StatusNotFound, "Scraping job "+workflows.WorkflowID(id)+" is not being imported",
			"Temporal has no import of it to signal. Go back to the overview.")
		return found, what, false
	}
	for _, each := range actions(found) {
		if each.Signal == signal {
			return found, each, true
		}
	}
	h.refuse(c, http.StatusConflict, label(signal)+" has no effect now", whyNot(found))
	return found, what, false
}

func whyNot(i overview.Import) string {
	switch {
	case !i.Open:
		return "Nothing was done: the import has ended. \"" + i.ReimportCommand() + "\" imports the job again."
	case !i.ProgressKnown:
		return "Nothing was done: " + i.Failure + "."
	}
	return fmt.Sprintf("Nothing was done: the import is now at another step (%s). Check it again.", i.Progress.Step)
}

// signal sends the signal in the path and redirects to the import, with a notice.
func (h *handler) signal(c *gin.Context) {
	if err := c.Request.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuse(c, status, "The form is invalid", "Nothing was done. Open the import on this page and press its button there.")
		return
	}
	if !h.credentials.ownForm(c) {
		h.options.Logger.Warn("Signal refused", "path", c.Request.URL.Path, "error", "the form's token is missing or wrong")
		h.refuse(c, http.StatusForbidden, "The form is from another session",
			"Nothing was done. The browser was closed in the meantime, or blocks this page's cookie. Open the import again and press its button there.")
		return
	}
	found, what, ok := h.signalable(c)
	if !ok {
		return
	}
	if c.PostForm("seen") != h.seen(found) {
		h.refuse(c, http.StatusConflict, "The import has changed", "Nothing was done: the import has changed since the page was loaded. Check it again.")
		return
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), readTimeout)
	defer cancel()
	err := h.options.Client.SignalWorkflow(ctx, workflows.WorkflowID(found.ScrapingJobID), found.RunID, what.Signal, found.Progress.Input(what.Signal))
	log := h.options.Logger.With("scrapingjob_id", found.ScrapingJobID, "run_id", found.RunID, "signal", what.Signal, "remote_address", c.Request.RemoteAddr)
	if _, closed := errors.AsType[*serviceerror.NotFound](err); closed {
		found.Open = false
		h.refuse(c, http.StatusConflict, what.Label+" has no effect now", whyNot(found))
		return
	}
	if err != nil {
		log.Warn("Signal not sent", "error", err)
		h.refuse(c, http.StatusServiceUnavailable, "Temporal cannot be reached",
			"The signal may have been sent. Check the import before you send it again.")
		return
	}
	log.Info("Signal sent")
	h.leaveNotice(c, found.ScrapingJobID, what.Signal)
	c.Redirect(http.StatusSeeOther, base(c)+"/"+workflows.WorkflowID(found.ScrapingJobID))
}

// A notice is a signed cookie that the next page shows once: a link cannot forge one.
const (
	noticeCookie  = "scrapehaul_notice"
	noticeSeconds = 60
)

func (h *handler) leaveNotice(c *gin.Context, scrapingJobID int64, signal string) {
	value := workflows.WorkflowID(scrapingJobID) + "_" + signal
	setCookie(c, noticeCookie, value+"."+h.credentials.sign("notice", value), noticeSeconds)
}

func (h *handler) takeNotice(c *gin.Context) string {
	value, valid := h.credentials.signedCookie(c, noticeCookie, "notice")
	if !valid {
		return ""
	}
	setCookie(c, noticeCookie, "", -1)
	id, signal, _ := strings.Cut(value, "_")
	if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return ""
	}
	return fmt.Sprintf("%s was sent to the import of scraping job %s: it %s.", label(signal), id, workflows.SignalMeaning(signal))
}
