package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Path is where [Register] puts the handler of the default account; that of the account
// acme is at Path + "/acme". The token goes into the query: /webhooks/webscraper?token=SECRET.
const Path = "/webhooks/webscraper"

// maxBodyBytes is the size over which a body is refused.
const maxBodyBytes = 64 << 10

// The vendor gives up after 10 s. Reading and signalling share 7.5 of them: the
// Temporal client gives a call half of what is left, and repeats it in the rest
// if that helps.
const (
	readTimeout  = 3 * time.Second
	answerWithin = 7500 * time.Millisecond
)

// Options are what the webhook needs.
type Options struct {
	// Client reaches Temporal. Required.
	Client client.Client
	// Tokens are the secrets of which a notification of the default account has to carry
	// one. Several allow for rotation. At least one is required, or TokensOf.
	Tokens []string
	// TokensOf, if set, is asked at each notification for the tokens of its account, in
	// place of Tokens. It returns none for an account that it does not know. A token that
	// would not do in Tokens is not valid here either.
	TokensOf func(account string) []string
	// SignatureSecret, when it is set, has every notification carry, besides a
	// token, the header Signature: the HMAC-SHA256 of the body as it is sent, with
	// this secret, in hexadecimal of either case. At least 16 bytes. Default "":
	// no signature is looked at.
	//
	// Web Scraper's own page does not document the header; it is what a third
	// party's receiver checks. Make sure that your notifications carry it before
	// you set the secret: one that is refused is sent twice more, and then lost.
	SignatureSecret string
	// TaskQueue is the workers' task queue. Default workflows.DefaultTaskQueue.
	TaskQueue string
	// Settings shape the imports that notifications start. Notifications that
	// their filter does not let pass, as far as the sitemap's name and the status
	// tell, start nothing.
	Settings workflows.Settings
	// CurrentSettings, if set, is asked at each notification for the settings, in
	// place of Settings. Its error is answered with 503.
	CurrentSettings func(context.Context) (workflows.Settings, error)
	// NoRoute, such as NoRoute of a gin engine, is called with a handler of requests that
	// have no route. Of these it takes POSTs to other spellings of the webhook's path;
	// what else comes near it, by another method with a token for instance, it refuses,
	// logs and counts. Default nil: only a slash at the end of the path is taken.
	NoRoute func(...gin.HandlerFunc)
	// Logger gets one line for each notification; "coalesced" is how many of them the
	// signal stands for. Of those without the right token or path it gets one a second;
	// "left_out" is how many it did not get. Default slog.Default().
	Logger *slog.Logger
	// MetricsHandler gets the counter scrapehaul_notifications with the tags
	// "answer": accepted, filtered, unauthorized, malformed, misdirected,
	// temporal-unavailable or id-taken; and "account", which is empty for what came to
	// another path or to an account without tokens. Default client.MetricsNopHandler.
	MetricsHandler client.MetricsHandler
}

func (o *Options) validate() error {
	var problems []error
	if o.Client == nil {
		problems = append(problems, errors.New("Client is missing"))
	}
	switch {
	case len(o.Tokens) == 0 && o.TokensOf == nil:
		problems = append(problems, errors.New("Tokens is empty: at least one is needed, there is no default"))
	case len(o.Tokens) > 0 && o.TokensOf != nil:
		problems = append(problems, errors.New("Tokens and TokensOf are both set: want one of them"))
	}
	for i, token := range o.Tokens {
		problems = append(problems, validate.WebhookToken(fmt.Sprintf("Tokens[%d]", i), token))
	}
	problems = append(problems, validate.SignatureSecret("SignatureSecret", o.SignatureSecret))
	return errors.Join(append(problems, o.Settings.Validate()...)...)
}

type handler struct {
	options Options
	path    string   // with that of the router
	counted sync.Map // has the accounts whose counters have begun
	signals coalescing

	// lastLine bounds the lines of the log for what anybody can send: one a second, with
	// how many were left out before it.
	logging  sync.Mutex
	lastLine time.Time
	leftOut  atomic.Int64
}

// Register adds the webhook to the router at [Path], or returns an error that names
// every option that is not valid. It answers a notification
//
//   - with 202 and {"workflow_id":"1234","run_id":"…"} when its workflow has it,
//   - with 202 and {"outcome":"filtered","reason":"…"} when the filter does not let
//     it pass,
//   - with 400, 401, 408, 413 or 415, or, by Options.NoRoute, 404 or 405, when it is not acceptable, and {"error":"…"},
//     or {"error":"…","fields":{"status":"is missing"}} for a form with bad fields,
//   - with 503 and {"error":"…"} when Temporal cannot be reached, or a workflow of
//     another type has the job's number as its ID, so that it is sent again.
//
// Notifications of one job that come within a second of each other share a signal,
// which has what the last of them says; each is answered after it.
func Register(router gin.IRouter, options Options) error {
	if err := options.validate(); err != nil {
		return fmt.Errorf("webhook options: %w", err)
	}
	options.TaskQueue = cmp.Or(options.TaskQueue, workflows.DefaultTaskQueue)
	options.Logger = cmp.Or(options.Logger, slog.Default())
	options.MetricsHandler = cmp.Or(options.MetricsHandler, client.MetricsNopHandler)
	if options.TokensOf == nil {
		options.TokensOf = func(account string) []string {
			if account == sink.DefaultAccount {
				return options.Tokens
			}
			return nil
		}
	}
	h := &handler{options: options}
	h.count("", answerAccepted, 0)
	h.count(sink.DefaultAccount, answerAccepted, 0)
	h.signals.next = map[jobOf]*sharedSignal{}
	h.signals.notify = func(ctx context.Context, n workflows.Notification, settings workflows.Settings) (client.WorkflowRun, error) {
		return workflows.Notify(ctx, options.Client, options.TaskQueue, n, settings)
	}
	h.path = router.Group(Path).BasePath()
	for _, each := range []string{"", "/", "/:" + accountParameter, "/:" + accountParameter + "/"} {
		router.POST(Path+each, func(c *gin.Context) {
			if account, ok := accountOf(c.Param(accountParameter)); ok {
				h.handle(c, account)
			} else {
				h.handleElsewhere(c)
			}
		})
	}
	if options.NoRoute != nil {
		options.NoRoute(h.handleElsewhere)
	}
	return nil
}

// acceptedBody is that of the answer 202 to a notification that its workflow has.
type acceptedBody struct {
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
}

// filteredBody is that of the answer 202 to a notification outside of the
// settings' filter, of which nothing comes.
type filteredBody struct {
	Outcome workflows.Outcome `json:"outcome"` // always workflows.Filtered
	Reason  string            `json:"reason"`  // one sentence
}

// refusedBody is that of every other answer.
type refusedBody struct {
	Error string `json:"error"`
	// Fields holds what is wrong with each bad field of the form.
	Fields map[string]string `json:"fields,omitempty"`
}

// refusal is an error with the status that it is answered with, and the answer that
// it counts as.
type refusal struct {
	status int
	answer string
	refusedBody
}

func (r *refusal) Error() string { return r.refusedBody.Error }

func refuse(status int, format string, args ...any) error {
	answer := answerMalformed
	switch status {
	case http.StatusUnauthorized:
		answer = answerUnauthorized
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		answer = answerMisdirected
	}
	return &refusal{status, answer, refusedBody{Error: fmt.Sprintf(format, args...)}}
}

func (h *handler) handle(c *gin.Context, account string) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), answerWithin)
	defer cancel()
	notification, err := h.receive(c, account)
	if err != nil {
		h.answerRefusal(c, notification, err)
		return
	}
	log := h.options.Logger.With("scrapingjob_id", notification.ScrapingJobID, "account", account,
		"status", notification.Status, "sitemap_name", notification.SitemapName)
	settings := h.options.Settings
	if h.options.CurrentSettings != nil {
		if settings, err = h.options.CurrentSettings(ctx); err != nil {
			h.answerRefusal(c, notification, err)
			return
		}
	}
	if reason := settings.Filter.For(notification.Account).WhyOutside(notification.SitemapName, notification.Status); reason != "" {
		log.Info("Notification filtered", "reason", reason)
		h.count(account, answerFiltered, 1)
		c.JSON(http.StatusAccepted, filteredBody{Outcome: workflows.Filtered, Reason: reason})
		return
	}
	run, shared, err := h.signals.signal(ctx, notification, settings)
	if err != nil {
		h.answerRefusal(c, notification, err)
		return
	}
	log.Info("Notification accepted", "run_id", run.GetRunID(), "coalesced", shared)
	h.count(account, answerAccepted, 1)
	c.JSON(http.StatusAccepted, acceptedBody{WorkflowID: run.GetID(), RunID: run.GetRunID()})
}

// mayLog is true once a second.
func (h *handler) mayLog() bool {
	h.logging.Lock()
	defer h.logging.Unlock()
	if time.Since(h.lastLine) < time.Second {
		return false
	}
	h.lastLine = time.Now()
	return true
}

func (h *handler) answerRefusal(c *gin.Context, notification workflows.Notification, err error) {
	var refused *refusal
	switch { // the cause is for the log: it may name hosts and namespaces
	case errors.Is(err, workflows.ErrOtherWorkflow):
		refused = &refusal{http.StatusServiceUnavailable, answerIDTaken, refusedBody{Error: "another workflow has this job's ID: see the log"}}
	case !errors.As(err, &refused):
		refused = &refusal{http.StatusServiceUnavailable, answerUnavailable, refusedBody{Error: "Temporal cannot be reached: send the notification again"}}
	}
	log, toLog := h.options.Logger, true
	if refused.answer == answerUnauthorized || refused.answer == answerMisdirected {
		if toLog = h.mayLog(); !toLog {
			h.leftOut.Add(1)
		} else if leftOut := h.leftOut.Swap(0); leftOut > 0 {
			log = log.With("left_out", leftOut)
		}
	}
	if notification.ScrapingJobID != 0 {
		log = log.With("scrapingjob_id", notification.ScrapingJobID)
	}
	if notification.Account != "" {
		log = log.With("account", notification.Account)
	}
	if toLog {
		log.Warn("Notification refused", "http_status", refused.status, "fields", refused.Fields, "error", err)
	}
	h.count(notification.Account, refused.answer, 1)
	c.AbortWithStatusJSON(refused.status, refused.refusedBody)
}

var none workflows.Notification

// receive returns a notification that is authentic and complete, or, with its error, one
// that has the account if there is such an account.
func (h *handler) receive(c *gin.Context, account string) (workflows.Notification, error) {
	// Whatever is refused, the server waits for the rest of the body before it
	// answers: nobody may keep it waiting. A test's recorder has no deadlines,
	// and needs none.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(readTimeout))
	tokens := h.options.TokensOf(account)
	if len(tokens) == 0 {
		account = "" // which may be anything, a token for instance
	}
	only := workflows.Notification{Account: account}
	if !authentic(c.Query("token"), tokens) {
		return only, refuse(http.StatusUnauthorized, "the token is missing or wrong: the URL has to end in ?token=SECRET")
	}
	form, err := readForm(c)
	if err != nil {
		return only, err
	}
	if !h.signed(c.GetHeader(signatureHeader), form) {
		return only, refuse(http.StatusUnauthorized,
			"the signature is missing or wrong: the header %s has to be HMAC-SHA256(SECRET, body) in hexadecimal", signatureHeader)
	}
	notification, err := decode(form, c.GetHeader("Content-Type"))
	notification.Account = account
	return notification, err
}

// The ways in which a form comes; what is signed is the body, whichever it is.
const (
	urlencodedForm = "application/x-www-form-urlencoded"
	multipartForm  = "multipart/form-data"
)

// readForm reads the body, within a limit of size and the deadline for reading,
// which it lifts.
func readForm(c *gin.Context) ([]byte, error) {
	if contentType := c.ContentType(); !strings.EqualFold(contentType, urlencodedForm) && !strings.EqualFold(contentType, multipartForm) {
		return nil, refuse(http.StatusUnsupportedMediaType, "the content type is %s: want %s or %s", quote(contentType), urlencodedForm, multipartForm)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes))
	if err == nil {
		// After an error the deadline stays, so that the server does not wait for
		// the rest of the body either.
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is over %d bytes", maxBodyBytes)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "the body did not arrive within %s", readTimeout)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body could not be read: %v", err)
	}
	return body, nil
}
