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

// Delivery is the outcome of one webhook notification.
type Delivery struct {
	Delivered bool      // whether the server accepted it
	Attempts  []Attempt // one to three
}

// Attempt is one request of a notification.
type Attempt struct {
	Status int    // 0 without a response
	Body   string // of the response, its first 64 KiB
	Err    error  // why no response came in time; never contains the webhook's URL
}

// failure returns why the attempt counts as failed by the service's rule: it wants a
// response in time, with a status below 300.
func (a Attempt) failure() error {
	if a.Err == nil && a.Status >= 300 {
		return fmt.Errorf("the server responded with %d", a.Status)
	}
	return a.Err
}

// SetWebhookURL sets where the notifications of ended jobs go. The URL may have a secret in
// its query. "" sends none.
func (c *Cloud) SetWebhookURL(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.webhookURL = url
}

// Finish gives a job a terminal status and sends its webhook, if there is a webhook URL, as
// [Cloud.SendWebhook] does. It returns after the notification is delivered; the error says
// that it was not.
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
		return fmt.Errorf("finish job %d: the webhook was dropped after %d attempts: %w",
			id, attempts, delivery.Attempts[attempts-1].failure())
	}
	return nil
}

// SendWebhook sends the notification of a job as the service does: it posts a form with the
// current status to the webhook URL, up to three times, until a status below 300 arrives
// within 10 s; the first retry is after 5 s, the second after 10 s. Redirects are not
// followed. It may be called at any time, even for a deleted job, to send a notification
// twice, late or out of order.
//
// The Delivery has the server's responses; a notification that was dropped is not an error.
// The error is an unknown job, a missing webhook URL or a done context.
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
		return Delivery{}, fmt.Errorf("send the webhook of job %d: job not found", id)
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
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no response within %s", timeout))
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

// withoutURL removes the webhook's URL, which may have a secret, from an error.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
