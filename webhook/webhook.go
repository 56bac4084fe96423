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

// Path is where [Register] mounts the handler of the default account; that of account acme
// is at Path + "/acme". The token is in the query: /webhooks/webscraper?token=SECRET.
const Path = "/webhooks/webscraper"

// maxBodyBytes is the maximum size of a body.
const maxBodyBytes = 64 << 10

// The vendor times out after 10 s. Reading and signaling share 7.5 of them: the Temporal
// client gives a call half of the remaining time, and retries in the rest.
const (
	readTimeout  = 3 * time.Second
	answerWithin = 7500 * time.Millisecond
)

// Options are the options of the webhook.
type Options struct {
	// Client reaches Temporal. Required.
	Client client.Client
	// Tokens are the secrets for the default account; a notification must have one of them.
	// Several allow rotation. At least one is required, unless TokensOf is set.
	Tokens []string
	// TokensOf, if set, replaces Tokens: it is called for each notification and returns the
	// tokens of its account, none for an unknown account. Tokens that would be invalid in
	// Tokens are ignored.
	TokensOf func(account string) []string
	// SignatureSecret, if set, makes the header Signature required in addition to a token:
	// the HMAC-SHA256 of the raw body with this secret, in upper or lower case hexadecimal.
	// At least 16 bytes. Default "": signatures are ignored.
	//
	// Web Scraper does not document the header; a third party's receiver checks it. Make
	// sure that your notifications have it before you set the secret: the vendor retries a
	// refused notification twice, then drops it.
	SignatureSecret string
	// TaskQueue is the workers' task queue. Default: workflows.DefaultTaskQueue.
	TaskQueue string
	// Settings are the settings of the imports that notifications start. Notifications that
	// their filter rejects by sitemap name or status start nothing.
	Settings workflows.Settings
	// CurrentSettings, if set, replaces Settings: it is called for each notification. If it
	// fails, the answer is 503.
	CurrentSettings func(context.Context) (workflows.Settings, error)
	// NoRoute, such as a gin engine's NoRoute, is called with a handler for requests without
	// a route. The handler accepts POSTs to other spellings of the webhook's path. It
	// refuses, logs and counts near misses, such as another method with a token. Default
	// nil: of other spellings, only a trailing slash is accepted.
	NoRoute func(...gin.HandlerFunc)
	// Logger gets one line per notification; "coalesced" is how many notifications share
	// the signal. For requests with a wrong token or path it gets at most one line per
	// second; "left_out" is how many lines were suppressed. Default: slog.Default().
	Logger *slog.Logger
	// MetricsHandler gets the counter scrapehaul_notifications with the tags "answer":
	// accepted, filtered, unauthorized, malformed, misdirected, temporal-unavailable or
	// id-taken; and "account", which is empty for other paths and for accounts without
	// tokens. Default: client.MetricsNopHandler.
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
	path    string   // including the router's
	counted sync.Map // the accounts whose counters exist
	signals coalescing

	// lastLine limits the log lines that anyone can cause to one per second, with the
	// number left out before it.
	logging  sync.Mutex
	lastLine time.Time
	leftOut  atomic.Int64
}

// Register adds the webhook to the router at [Path]. It returns an error that names every
// invalid option. The webhook answers a notification
//
//   - with 202 and {"workflow_id":"1234","run_id":"…"} once its workflow has the signal,
//   - with 202 and {"outcome":"filtered","reason":"…"} if the filter rejects it,
//   - with 400, 401, 408, 413 or 415, or, by Options.NoRoute, 404 or 405, and
//     {"error":"…"} if it is invalid, or {"error":"…","fields":{"status":"is missing"}}
//     for a form with bad fields,
//   - with 503 and {"error":"…"}, so that it is sent again, if Temporal cannot be reached
//     or a workflow of another type has the job's number as its ID.
//
// Notifications of one job that arrive within a second share a signal, which has the
// content of the last one. Each is answered after the signal was sent.
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

// acceptedBody is the body of the answer 202 to an accepted notification.
type acceptedBody struct {
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
}

// filteredBody is the body of the answer 202 to a notification that the filter rejects.
type filteredBody struct {
	Outcome workflows.Outcome `json:"outcome"` // always workflows.Filtered
	Reason  string            `json:"reason"`  // one sentence
}

// refusedBody is the body of every other answer.
type refusedBody struct {
	Error string `json:"error"`
	// Fields has the problem of each bad form field.
	Fields map[string]string `json:"fields,omitempty"`
}

// refusal is an error with its HTTP status and the answer it counts as.
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

// mayLog returns true at most once per second.
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
	switch { // the cause is only logged: it may name hosts and namespaces
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

// receive returns an authentic and valid notification, or an error and a notification with
// only the account, if the account exists.
func (h *handler) receive(c *gin.Context, account string) (workflows.Notification, error) {
	// Before it sends a refusal, the server reads the rest of the body: a deadline keeps
	// clients from delaying it. A test's recorder has no deadlines and needs none.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(readTimeout))
	tokens := h.options.TokensOf(account)
	if len(tokens) == 0 {
		account = "" // the path may contain anything, even a token
	}
	only := workflows.Notification{Account: account}
	if !authentic(c.Query("token"), tokens) {
		return only, refuse(http.StatusUnauthorized, "the token is missing or wrong: the URL must end in ?token=SECRET")
	}
	form, err := readForm(c)
	if err != nil {
		return only, err
	}
	if !h.signed(c.GetHeader(signatureHeader), form) {
		return only, refuse(http.StatusUnauthorized,
			"the signature is missing or wrong: the header %s must be HMAC-SHA256(SECRET, body) in hexadecimal", signatureHeader)
	}
	notification, err := decode(form, c.GetHeader("Content-Type"))
	notification.Account = account
	return notification, err
}

// Encodings of a form. In either case, the raw body is what is signed.
const (
	urlencodedForm = "application/x-www-form-urlencoded"
	multipartForm  = "multipart/form-data"
)

// readForm reads the body within a size limit and the read deadline, then clears the
// deadline.
func readForm(c *gin.Context) ([]byte, error) {
	if contentType := c.ContentType(); !strings.EqualFold(contentType, urlencodedForm) && !strings.EqualFold(contentType, multipartForm) {
		return nil, refuse(http.StatusUnsupportedMediaType, "the content type is %s: want %s or %s", quote(contentType), urlencodedForm, multipartForm)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes))
	if err == nil {
		// After an error the deadline stays, so that the server does not wait for the rest
		// of the body.
		_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is over %d bytes", maxBodyBytes)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "the body did not arrive within %s", readTimeout)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "reading the body: %v", err)
	}
	return body, nil
}
