package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// connections are the levels of load. The middle one gives webhook.vs_signal_with_start.
var connections = []int{1, 64, 512}

const mainConnections = 64

const webhookToken = "bench-webhook-token"

// webhookQueue is a task queue without workers: only the answers are measured.
const webhookQueue = "bench-webhook"

// webhookPart compares the webhook, over HTTP, with the SignalWithStart that
// it cannot do without, by the same Temporal client in the same process. Every
// notification is of another job, and so starts a workflow.
type webhookPart struct {
	*stage
	temporal client.Client
	url      string
	lastID   atomic.Int64
}

func measureWebhook(ctx context.Context, s *stage, r *result) error {
	server, err := s.Temporal(ctx, false)
	if err != nil {
		return err
	}
	p := &webhookPart{stage: s, temporal: server.Client()}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	err = webhook.Register(engine, webhook.Options{
		Client: p.temporal, Tokens: []string{webhookToken}, TaskQueue: webhookQueue, Logger: slog.New(slog.NewJSONHandler(s.Log, nil)),
	})
	if err != nil {
		return err
	}
	p.url = s.Serve(engine) + webhook.Path + "?token=" + webhookToken
	err = inParallel(mainConnections, 100, func(int) (err error) {
		for range 5 { // a server that has just started may not answer in time
			if err = p.signalWithStart(ctx, p.notification()); err == nil {
				break
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	t := r.table(fmt.Sprintf("webhook: %s notifications of different jobs; medians, rounds: %d", thousands(float64(s.Requests)), s.Rounds),
		"connections", "", "requests/s", "p50 ms", "p99 ms", "refused", "we are")
	for _, n := range connections {
		if err := p.measure(ctx, n, r, t); err != nil {
			return fmt.Errorf("%d connections: %w", n, err)
		}
	}
	return nil
}

func (p *webhookPart) measure(ctx context.Context, connections int, r *result, t *table) error {
	ours, closeConnections := p.poster(ctx, connections)
	defer closeConnections()
	contenders := []struct {
		name, title string
		send        func(workflows.Notification) error
	}{
		{"ours", "ours", ours},
		{"signal_with_start", "SignalWithStart alone", func(n workflows.Notification) error { return p.signalWithStart(ctx, n) }},
	}
	measured, err := p.medians(func(round int) (figures, error) {
		f := figures{}
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)] // they take turns
			if err := p.load(connections, c.send, c.name, f); err != nil {
				return nil, fmt.Errorf("%s: %w", c.title, err)
			}
		}
		return f, nil
	})
	if err != nil {
		return err
	}
	key := fmt.Sprintf("connections_%d.", connections)
	ratio := measured["ours.requests_per_second"] / measured["signal_with_start.requests_per_second"]
	level, against := strconv.Itoa(connections), r.figure(key+"vs_signal_with_start", "%.2f × as fast", ratio)
	for _, c := range contenders {
		t.row(level, c.title, fmt.Sprintf("%.0f", measured[c.name+".requests_per_second"]), fmt.Sprintf("%.1f", measured[c.name+".p50_ms"]),
			fmt.Sprintf("%.1f", measured[c.name+".p99_ms"]), fmt.Sprintf("%.0f", measured[c.name+".refused"]), against)
		level, against = "", ""
	}
	r.setAll(key, measured)
	if connections == mainConnections {
		r.set("vs_signal_with_start", ratio)
	}
	return nil
}

func (p *webhookPart) notification() workflows.Notification {
	return workflows.Notification{ScrapingJobID: p.lastID.Add(1), Status: "finished", SitemapID: 123, SitemapName: "my-sitemap"}
}

func (p *webhookPart) signalWithStart(ctx context.Context, n workflows.Notification) error {
	_, err := workflows.Notify(ctx, p.temporal, webhookQueue, n, workflows.Settings{})
	if _, late := errors.AsType[*serviceerror.DeadlineExceeded](err); late {
		return errRefused
	}
	return err
}

// errRefused is an answer 503 of the webhook, after which the cloud sends the
// notification again, or a SignalWithStart alone that has failed by itself:
// Temporal has not answered in time.
var errRefused = errors.New("Temporal does not answer in time")

// load sends all notifications, a few at a time, and adds what it has measured. Refused
// ones count for nothing.
func (p *webhookPart) load(atATime int, send func(workflows.Notification) error, name string, f figures) error {
	milliseconds := make([]float64, p.Requests)
	var refused atomic.Int64
	start := time.Now()
	err := inParallel(atATime, p.Requests, func(i int) error {
		sent := time.Now()
		err := send(p.notification())
		milliseconds[i] = time.Since(sent).Seconds() * 1000
		if errors.Is(err, errRefused) {
			refused.Add(1)
			return nil
		}
		return err
	})
	took := time.Since(start)
	accepted := p.Requests - int(refused.Load())
	if err == nil && accepted == 0 {
		err = errRefused
	}
	f[name+".requests_per_second"] = float64(accepted) / took.Seconds()
	f[name+".p50_ms"], f[name+".p99_ms"] = percentile(milliseconds, 50), percentile(milliseconds, 99)
	f[name+".refused"] = float64(refused.Load())
	return err
}

// poster sends notifications as the cloud does, over n connections.
func (p *webhookPart) poster(ctx context.Context, connections int) (post func(workflows.Notification) error, closeConnections func()) {
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	poster := http.Client{Transport: transport}
	return func(n workflows.Notification) error {
		form := url.Values{
			"scrapingjob_id": {workflows.WorkflowID(n.ScrapingJobID)}, "status": {n.Status},
			"sitemap_id": {strconv.FormatInt(n.SitemapID, 10)}, "sitemap_name": {n.SitemapName},
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := poster.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if answer.StatusCode == http.StatusServiceUnavailable {
			return errRefused
		}
		if err == nil && answer.StatusCode != http.StatusAccepted {
			err = fmt.Errorf("the webhook answers %s: %s", answer.Status, body)
		}
		return err
	}, transport.CloseIdleConnections
}
