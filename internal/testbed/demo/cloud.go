package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// job is one scraping job of the demo.
type job struct {
	id, sitemapID int64
	sitemap       string
	records       int64
	age           time.Duration // when the demo starts
}

var jobs = []job{
	{1000, 1001, "laptops", 20, 24 * time.Hour},
	{1001, 1001, "laptops", 20, 0},
	{1002, 1002, "books", 5_000, 0},
	{1003, 1003, "whole-shop", 200_000, 0},
}

// newCloud returns the fake. Jobs created through its API finish a few seconds later.
func newCloud(token string, logger *slog.Logger) *webscrapertest.Cloud {
	return webscrapertest.New(webscrapertest.Options{Tokens: []string{token}, Logger: logger, Timeline: webscrapertest.Timeline{
		WaitingToBeScheduled: time.Second, Scheduling: time.Second, Scheduled: time.Second, Started: 3 * time.Second,
	}})
}

// addJobs adds the demo's sitemaps and their jobs: today's are being scraped and finish
// within seconds.
func addJobs(cloud *webscrapertest.Cloud) {
	for i, j := range jobs {
		if i == 0 || jobs[i-1].sitemapID != j.sitemapID {
			startURL := fmt.Sprintf("https://webscraper.io/test-sites/e-commerce/allinone?page=[1-%d]", j.records/20)
			cloud.AddSitemap(webscrapertest.Sitemap{ID: j.sitemapID, Name: j.sitemap, StartURLs: []string{startURL}})
		}
		cloud.AddJob(webscrapertest.Job{
			ID:          j.id,
			SitemapID:   j.sitemapID,
			CustomID:    fmt.Sprintf("demo-%d", i),
			Records:     cloud.NextProducts(j.sitemapID, int(j.records)),
			TimeCreated: time.Now().Add(-j.age),
			Timeline:    webscrapertest.Timeline{Scheduling: time.Second, Started: time.Duration(i+1) * time.Second},
		})
	}
}

// faults make the next matching requests fail.
var faults = map[string]webscrapertest.Fault{
	"truncate":  {Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Truncate(10_000)},
	"empty":     {Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Empty()},
	"malformed": {Path: "scraping-job/*/json", Times: 1, Effect: malformed},
	"502":       {Times: 3, Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)},
	"429":       {Times: 1, Effect: webscrapertest.TooManyRequests(10 * time.Second)},
	"lost":      {Method: http.MethodPost, Path: "scraping-job", Times: 1, Effect: webscrapertest.ResetAt(0)}, // the response to a creation
	"401":       {Times: 1, Effect: webscrapertest.FailWith(http.StatusUnauthorized)},
}

// malformed serves the job's records with the second half of the first one missing.
func malformed(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(path.Base(path.Dir(r.URL.Path)), 10, 64)
		if job, found := cloud.Job(id); found {
			content, _ := io.ReadAll(job.Records.Open()) // from memory
			first, others, _ := bytes.Cut(content, []byte("\n"))
			content = slices.Concat(first[:len(first)/2], []byte("\n"), others)
			_ = cloud.SetRecords(id, webscrapertest.RawBody(string(content), job.Records.Count()))
			defer func() { _ = cloud.SetRecords(id, job.Records) }()
		}
		next.ServeHTTP(w, r)
	})
}

// cloudHandler serves the API, the dashboard's Continue button and faults.
//
//   - POST /jobs/{id}/continue: the job runs again and ends with what the shop has by
//     then, a tenth more records, and a new notification.
//   - POST /faults/{name}: the next requests fail.
func cloudHandler(cloud *webscrapertest.Cloud) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(webscrapertest.BasePath, cloud)
	mux.HandleFunc("POST /jobs/{id}/continue", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		before, found := cloud.Job(id)
		if err != nil || !found {
			http.Error(w, fmt.Sprintf("no job %q in the cloud", r.PathValue("id")), http.StatusNotFound)
			return
		}
		count := before.Records.Count()
		count += max(1, count/10)
		if err := cloud.Continue(id, cloud.NextProducts(before.SitemapID, int(count))); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		fmt.Fprintf(w, "job %d runs again and has %d records in a few seconds\n", id, count)
	})
	mux.HandleFunc("POST /faults/{name}", func(w http.ResponseWriter, r *http.Request) {
		fault, known := faults[r.PathValue("name")]
		if !known {
			http.Error(w, fmt.Sprintf("no fault %q; there are %s", r.PathValue("name"),
				strings.Join(slices.Sorted(maps.Keys(faults)), ", ")), http.StatusNotFound)
			return
		}
		cloud.Inject(fault)
		next := "the next matching request fails"
		if fault.Times > 1 {
			next = fmt.Sprintf("the next %d matching requests fail", fault.Times)
		}
		fmt.Fprintf(w, "%s with %q\n", next, r.PathValue("name"))
	})
	return mux
}

// cloudCommand's flags are the contract of "go run ./demo cloud".
type cloudCommand struct {
	Listen  string `default:"127.0.0.1:8090" placeholder:"ADDR" help:"Where to listen. Default: ${default}."`
	Token   string `required:"" help:"The API token that clients must send."`
	Webhook string `placeholder:"URL" help:"URL for notifications, with the secret in its query. Default: none are sent."`
}

// Run serves the fake until ctx ends.
func (c *cloudCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	s.Address("--listen", c.Listen)
	s.Required("--token", c.Token, "any secret; clients send it as api_token")
	if webhook, err := url.Parse(c.Webhook); err != nil || webhook.Query().Has("token") && webhook.Query().Get("token") == "" {
		s.Problem("--webhook must be the webhook's URL, which ends in ?token=SECRET")
	}
	if err := s.Err(); err != nil {
		return err
	}
	logger := streams.Logger()
	cloud := newCloud(c.Token, logger)
	addJobs(cloud)
	cloud.SetWebhookURL(c.Webhook)
	var running sync.WaitGroup
	running.Go(func() { cloud.Run(ctx) })
	err := program.Serve(ctx, slog.Default(), "--listen", c.Listen, cloudHandler(cloud), func(address net.Addr) {
		fmt.Fprintf(streams.Out, "Fake Web Scraper Cloud: http://%s%s\n", address, webscrapertest.BasePath)
		for _, j := range jobs {
			fmt.Fprintf(streams.Out, "  job %d of sitemap %d, %s: %d records, finishes in a few seconds\n", j.id, j.sitemapID, j.sitemap, j.records)
		}
		fmt.Fprintf(streams.Out, "Continue a job that has ended: curl -X POST http://%s/jobs/%d/continue\n", address, jobs[0].id)
		fmt.Fprintf(streams.Out, "Let a request fail:            curl -X POST http://%s/faults/NAME, one of %s\n", address,
			strings.Join(slices.Sorted(maps.Keys(faults)), ", "))
	})
	running.Wait()
	return err
}
