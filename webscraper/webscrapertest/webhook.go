package webscrapertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Delivery is what became of one webhook notification.
type Delivery struct {
	Delivered bool      // whether the server took it
	Attempts  []Attempt // one to three
}

// Attempt is one request of a notification.
type Attempt struct {
	Status int    // 0 when no answer came
	Body   string // of the answer, its first 64 KiB
	Err    error  // why no answer came in time; never holds the webhook's URL
}

// failure is why the service takes the attempt for failed, by its rule: it
// wants an answer in time, of a status below 300.
func (a Attempt) failure() error {
	if a.Err == nil && a.Status >= 300 {
		return fmt.Errorf("the server answered %d", a.Status)
	}
	return a.Err
}

// SetWebhookURL sends the notifications of jobs that end to url, which may
// carry a secret in its query. "" sends none.
func (c *Cloud) SetWebhookURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.webhookURL = url
}

// Finish gives a job a terminal status and sends its webhook, if there is a
// webhook URL, by the rules of [Cloud.SendWebhook]. It returns when the
// notification was taken, or with an error when it was given up.
func (c *Cloud) Finish(ctx context.Context, id int64, status string) error {
	if !terminal(status) {
		return fmt.Errorf("finish job %d: status is %q, want one of %q", id, status, terminalStatuses)
	}
	if err := c.SetStatus(id, status); err != nil {
		return err
	}
	c.mu.Lock()
	silent := c.webhookURL == ""
	c.mu.Unlock()
	if silent {
		return nil
	}
	delivery, err := c.SendWebhook(ctx, id)
	if err != nil {
		return err
	}
	if !delivery.Delivered {
		attempts := len(delivery.Attempts)
		return fmt.Errorf("finish job %d: the webhook was given up after %d attempts: %w",
			id, attempts, delivery.Attempts[attempts-1].failure())
	}
	return nil
}

// SendWebhook sends the notification of a job as the service does: the form of
// its present status is posted to the webhook URL, up to three times, until
// an answer below 300 comes within 10 s; the first retry comes after 5 s, the
// second after 10 s. Redirects are not followed. It may be called at any time,
// for a job that was deleted too, to send a notification twice, late or out
// of order.
//
// The Delivery tells what the server answered; a notification that was given
// up is no error. The error is about an unknown job, a missing webhook URL or
// a context that is done.
func (c *Cloud) SendWebhook(ctx context.Context, id int64) (Delivery, error) {
	c.mu.Lock()
	j, ok := c.jobs[id]
	var form url.Values
	if ok {
		j.advance(c.options.Clock())
		form = j.form()
	}
	c.mu.Unlock()
	if !ok {
		return Delivery{}, fmt.Errorf("send the webhook of job %d: the cloud has no such job", id)
	}
	return c.deliver(ctx, id, form)
}

func (c *Cloud) deliver(ctx context.Context, id int64, form url.Values) (Delivery, error) {
	c.mu.Lock()
	target := c.webhookURL
	c.mu.Unlock()
	var delivery Delivery
	if target == "" {
		return delivery, fmt.Errorf("send the webhook of job %d: no webhook URL is set; use Options.WebhookURL or SetWebhookURL", id)
	}
	for _, delay := range []time.Duration{0, c.options.WebhookFirstRetry, c.options.WebhookSecondRetry} {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return delivery, fmt.Errorf("send the webhook of job %d: %w", id, context.Cause(ctx))
		}
		attempt := c.post(ctx, target, form)
		delivery.Attempts = append(delivery.Attempts, attempt)
		c.options.Logger.Debug("webhook", "scrapingjob_id", id, "attempt", len(delivery.Attempts), "status", attempt.Status, "error", attempt.Err)
		if delivery.Delivered = attempt.failure() == nil; delivery.Delivered {
			break
		}
	}
	return delivery, nil
}

func (j *job) form() url.Values {
	form := url.Values{
		"scrapingjob_id": {strconv.FormatInt(j.ID, 10)},
		"status":         {j.Status},
		"sitemap_id":     {strconv.FormatInt(j.SitemapID, 10)},
		"sitemap_name":   {j.SitemapName},
	}
	if j.CustomID != "" {
		form.Set("custom_id", j.CustomID)
	}
	return form
}

func (c *Cloud) post(ctx context.Context, target string, form url.Values) Attempt {
	timeout := c.options.WebhookTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return Attempt{Err: withoutURL(err)}
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.webhookClient.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Attempt{Err: withoutURL(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Attempt{Status: response.StatusCode, Body: string(body), Err: err}
}

// withoutURL drops the webhook's URL, which may hold a secret, from an error.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
