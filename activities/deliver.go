package activities

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const (
	// DeliverPublicationsName is the registered name of the workflow that delivers the
	// publications of a sitemap to the webhook, with the sitemap's name and account as its
	// input.
	DeliverPublicationsName = "DeliverPublications"
	// PublicationSignal makes that workflow check again for undelivered publications.
	PublicationSignal = "publication"
)

// undelivered is the error type of a failed delivery: retried for deliverFor, never an
// import's.
const undelivered = "WebhookUnavailable"

const (
	// deliverFor is how long a publication is retried, from when it was queued.
	deliverFor = 24 * time.Hour
	// The wait after an attempt equals the time since the first one, within these limits.
	minDeliveryWait, maxDeliveryWait = 5 * time.Second, 15 * time.Minute
	// orderWait is how often to check whether it is a publication's turn.
	orderWait = time.Second

	postTimeout       = 30 * time.Second
	maxResponseHeader = 64 << 10 // bytes
)

// Webhook receives publications.
type Webhook struct {
	// URL is an https or http URL. It may contain a secret: logs and errors show only its
	// host.
	URL string
	// Secret signs requests as Standard Webhooks specifies: "whsec_" and 24 to 64 bytes in
	// base64. Required.
	Secret string
}

// maxNamed keeps a workflow's ID below 255 characters, the limit of Temporal's SQL stores.
const maxNamed = 100

// SitemapWorkflowID returns the ID of a workflow for a sitemap of an account.
func SitemapWorkflowID(prefix, account, sitemapName string) string {
	sitemapName = sink.QualifiedSitemap(account, sitemapName)
	shown := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, sitemapName)
	if shown != sitemapName || len(shown) > maxNamed {
		shown = strings.ToValidUTF8(shown[:min(len(shown), maxNamed)], "") + fmt.Sprintf("-%x", sha256.Sum256([]byte(sitemapName)))
	}
	return prefix + shown
}

// deliveryID returns the ID of the workflow that delivers a sitemap's publications.
func deliveryID(account, sitemapName string) string {
	return SitemapWorkflowID("scrapehaul-webhook-", account, sitemapName)
}

// Turns returns the priority of an account's workflows: accounts take turns if Temporal has
// fairness enabled. All tasks of a workflow and its children inherit it.
func Turns(account string) (priority temporal.Priority) {
	if sink.IsNamed(account) {
		priority.FairnessKey = account
	}
	return priority
}

// startDelivery starts the sitemap's delivery workflow. The signal keeps a running one
// from closing right after its last check.
func startDelivery(ctx context.Context, account, sitemapName string) error {
	id := deliveryID(account, sitemapName)
	temporal := activity.GetClient(ctx)
	_, err := temporal.SignalWithStartWorkflow(ctx, id, PublicationSignal, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: activity.GetInfo(ctx).TaskQueue, StaticSummary: "deliver publications to the webhook", Priority: Turns(account),
	}, DeliverPublicationsName, sitemapName, account)
	if is[*serviceerror.InvalidArgument](err) {
		there, whyNot := temporal.DescribeWorkflowExecution(ctx, id, "")
		if whyNot == nil && there.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return nil // it has as many signals as Temporal allows, and checks again because of them
		}
	}
	return err
}

func (a *Activities) startDeliveries(ctx context.Context) error {
	sitemaps, err := a.Store.SitemapsWithUndelivered(ctx)
	for _, each := range sitemaps {
		activity.RecordHeartbeat(ctx)
		err = errors.Join(err, startDelivery(ctx, each.Account, each.Name))
	}
	return err
}

// DeliverPublications delivers a sitemap's undelivered publications to the webhook in
// publishing order and returns when none is left. A publication that fails for a day is
// skipped, and the problem is recorded with its import.
func (a *Activities) DeliverPublications(ctx context.Context, sitemapName, account string) error {
	defer keepHeartbeating(ctx, noProgress)()
	err := classify(ctx, a.deliverPublications(ctx, cmp.Or(account, sink.DefaultAccount), sitemapName))
	if failure, ok := errors.AsType[*temporal.ApplicationError](err); ok && failure.NonRetryable() {
		return temporal.NewApplicationError(failure.Message(), failure.Type()) // retryable, or delivery would end here
	}
	return err
}

func (a *Activities) deliverPublications(ctx context.Context, account, sitemapName string) error {
	for !workerStopping(ctx) {
		next, err := a.Store.NextUndelivered(ctx, account, sitemapName)
		switch {
		case err != nil || next == nil:
			return err
		case next.Waits:
			select {
			case <-ctx.Done():
			case <-time.After(orderWait):
			}
		default:
			if err := a.deliver(ctx, next); err != nil {
				return err
			}
		}
	}
	return errWorkerStopping
}

func (a *Activities) deliver(ctx context.Context, next *postgres.Undelivered) error {
	refusal := a.post(ctx, next.Publication)
	switch {
	case refusal == nil:
		return a.Store.SetDelivered(ctx, next.ImportID)
	case ctx.Err() != nil:
		return ctx.Err() // not the webhook's fault
	}
	left := time.Until(next.AddedAt.Add(deliverFor))
	if left > 0 && !refusal.final {
		wait := min(max(deliverFor-left, minDeliveryWait), maxDeliveryWait)
		refusal.wait = min(max(wait, refusal.wait), left)
		refusal.reason = fmt.Sprintf("the publication of import %d of scraping job %d is retried until %s: %s",
			next.ImportID, next.ScrapingJobID, next.AddedAt.Add(deliverFor).UTC().Format("2006-01-02 15:04:05 UTC"), refusal.reason)
		return refusal
	}
	if err := a.Store.SetUndeliverable(ctx, next.ImportID, "its publication was not delivered: "+refusal.reason); err != nil {
		return err
	}
	activity.GetMetricsHandler(ctx).Counter(undeliverableMetric).Inc(1)
	activity.GetLogger(ctx).Warn("Publication not delivered",
		"account", next.Account, "scrapingjob_id", next.ScrapingJobID, "import_id", next.ImportID, "reason", refusal.reason)
	return nil
}

// refusal is why a delivery failed. It wraps nothing, as errors of an HTTP client may
// contain the URL.
type refusal struct {
	reason string
	wait   time.Duration // before the next attempt
	final  bool          // no more attempts
}

func (r *refusal) Error() string { return r.reason }

// cloudEvent is a publication in the structured mode of CloudEvents 1.0.
type cloudEvent struct {
	SpecVersion     string           `json:"specversion"`
	ID              string           `json:"id"`
	Source          string           `json:"source"`
	Type            string           `json:"type"`
	Subject         string           `json:"subject,omitempty"`
	Time            time.Time        `json:"time"`
	DataContentType string           `json:"datacontenttype"`
	Data            sink.Publication `json:"data"`
}

// poster follows no redirects: the operator did not choose their targets.
var poster = &http.Client{
	Timeout: postTimeout,
	Transport: &http.Transport{
		Proxy: proxy, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxResponseHeader,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

var errProxy = errors.New("HTTPS_PROXY or HTTP_PROXY of the workers is not a URL")

// proxy keeps the proxy's URL, which may contain a password, out of the error.
func proxy(request *http.Request) (*url.URL, error) {
	address, err := http.ProxyFromEnvironment(request)
	if err != nil {
		return nil, errProxy
	}
	return address, nil
}

// post sends a publication, always with the same ID.
func (a *Activities) post(ctx context.Context, p sink.Publication) *refusal {
	if a.Webhook == nil {
		return &refusal{reason: "this worker has no PUBLISHED_WEBHOOK_URL; set the same on all workers"}
	}
	info := activity.GetInfo(ctx)
	event := cloudEvent{
		SpecVersion: "1.0", ID: p.ID(),
		Source: "scrapehaul/" + url.PathEscape(info.Namespace) + "/" + url.PathEscape(info.TaskQueue),
		Type:   "io.scrapehaul.import.published", Subject: sink.QualifiedSitemap(p.Account, p.SitemapName), Time: p.PublishedAt.UTC(),
		DataContentType: "application/json", Data: p,
	}
	request, err := a.Webhook.request(ctx, event)
	if err != nil {
		return &refusal{reason: "PUBLISHED_WEBHOOK_URL or PUBLISHED_WEBHOOK_SECRET is invalid"}
	}
	webhook := "the webhook at " + request.URL.Host
	response, err := poster.Do(request)
	if err != nil {
		for urlErr := (*url.Error)(nil); errors.As(err, &urlErr); {
			err = urlErr.Err
		}
		reason := webhook + " sent no HTTP response"
		if is[net.Error](err) || is[*tls.CertificateVerificationError](err) || errors.Is(err, errProxy) {
			reason += ": " + err.Error() // other errors quote what was received, which may contain a secret
		}
		return &refusal{reason: reason}
	}
	_ = response.Body.Close() // unread: it may contain a secret
	return refusalOf(webhook, response)
}

func (w *Webhook) request(ctx context.Context, event cloudEvent) (*http.Request, error) {
	body, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	signer, err := standardwebhooks.NewWebhook(w.Secret)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	signature, err := signer.Sign(event.ID, now, body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Content-Type": {"application/cloudevents+json"}, "User-Agent": {"scrapehaul"}}
	request.Header.Set(standardwebhooks.HeaderWebhookID, event.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return request, nil
}

// refusalOf returns nil for a response that acknowledges the publication.
func refusalOf(webhook string, response *http.Response) *refusal {
	if response.StatusCode/100 == 2 {
		return nil
	}
	r := &refusal{reason: strings.TrimSpace(fmt.Sprintf("%s returned %d %s", webhook, response.StatusCode, http.StatusText(response.StatusCode)))}
	switch response.StatusCode {
	case http.StatusGone:
		r.final = true
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.wait = retryAfter(response.Header)
	}
	if response.StatusCode/100 == 3 {
		r.reason += "; redirects are not followed, set PUBLISHED_WEBHOOK_URL to the target"
	}
	return r
}

// retryAfter returns the wait that a response asks for, 0 for none.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(seconds, int(deliverFor/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(time.Until(at), deliverFor)
}
