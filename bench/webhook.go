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
	"sync"
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
		Client: p.temporal, Tokens: []string{webhookToken}, TaskQueue: webhookQueue, Logger: slog.New(slog.NewJSONHandler(s.log, nil)),
	})
	if err != nil {
		return err
	}
	p.url = s.Serve(engine) + webhook.Path + "?token=" + webhookToken
	if err := inParallel(mainConnections, 100, func(int) error { return p.signalWithStart(ctx, p.notification()) }); err != nil {
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
	answers := map[string]*answers{"ours": {}, "signal_with_start": {}}
	contenders := []contender{
		{name: "ours", title: fmt.Sprintf("ours, %d connections", connections),
			run: p.load(connections, answers["ours"], ours)},
		{name: "signal_with_start", title: fmt.Sprintf("SignalWithStart, %d at a time", connections),
			run: p.load(connections, answers["signal_with_start"], func(n workflows.Notification) error { return p.signalWithStart(ctx, n) })},
	}
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	ratio := seconds["signal_with_start"] / seconds["ours"]
	key := fmt.Sprintf("connections_%d.", connections)
	for _, c := range contenders {
		answered, ofContender := answers[c.name], key+c.name+"."
		level, title, against := "", "SignalWithStart alone", ""
		if c.name == "ours" {
			level, title, against = strconv.Itoa(connections), "ours", r.figure(key+"vs_signal_with_start", "%.2f × as fast", ratio)
		}
		t.row(level, title, r.figure(ofContender+"requests_per_second", "%.0f", float64(p.Requests)/seconds[c.name]),
			r.figure(ofContender+"p50_ms", "%.1f", percentile(answered.milliseconds, 50)),
			r.figure(ofContender+"p99_ms", "%.1f", percentile(answered.milliseconds, 99)),
			r.figure(ofContender+"refused", "%.0f", float64(answered.refused)), against)
	}
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

// answers are those of all rounds.
type answers struct {
	mu           sync.Mutex
	milliseconds []float64
	refused      int
}

// errRefused is an answer 503 of the webhook, after which the cloud sends the
// notification again, or a SignalWithStart alone that has failed by itself:
// Temporal has not answered in time.
var errRefused = errors.New("Temporal does not answer in time")

func (a *answers) add(took time.Duration, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.milliseconds = append(a.milliseconds, took.Seconds()*1000)
	if errors.Is(err, errRefused) {
		a.refused++
		return nil
	}
	return err
}

// load sends all notifications, so many at a time. Refused ones count for
// nothing: the time is what as many accepted ones would have taken.
func (p *webhookPart) load(atATime int, all *answers, send func(workflows.Notification) error) func(context.Context) (time.Duration, error) {
	return func(context.Context) (time.Duration, error) {
		refusedBefore := all.refused
		begun := time.Now()
		err := inParallel(atATime, p.Requests, func(int) error {
			sent := time.Now()
			err := send(p.notification())
			return all.add(time.Since(sent), err)
		})
		took := time.Since(begun)
		accepted := p.Requests - (all.refused - refusedBefore)
		if err == nil && accepted == 0 {
			err = errRefused
		}
		if err != nil {
			return 0, err
		}
		return took * time.Duration(p.Requests) / time.Duration(accepted), nil
	}
}

// poster sends notifications as the cloud does, over so many connections.
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
