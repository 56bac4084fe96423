package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// goalForOperators is what an answer may take, in seconds.
const goalForOperators = 0.3

const pageUser, pagePassword = "operator", "bench-page-password"

// measureOperators times what operators see, with many imports in the
// history and many open workflows: jobs that were notified, and that no worker has a slot for
// yet. A worker with nothing but the workflows answers the queries.
func measureOperators(ctx context.Context, s *stage, r *result) error {
	settings := map[string]string{"STATUS_PAGE_USER": pageUser, "STATUS_PAGE_PASSWORD": pagePassword}
	maps.Copy(settings, noReconciliation)
	sys, err := s.system(ctx, lifted, settings)
	if err != nil {
		return err
	}
	if _, err := sys.Programs.RunStarter(ctx, sys.Env, "setup"); err != nil {
		return err
	}
	s.step("Filling in the history")
	if _, err := sys.DB.ExecContext(ctx, fillJobs, 1, s.GrowthImports, 1, `{}`); err != nil {
		return fmt.Errorf("filling in the history: %w", err)
	}
	if _, err := sys.DB.ExecContext(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	temporal, err := client.Dial(client.Options{
		HostPort: sys.Temporal.HostPort, Namespace: sys.Temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer temporal.Close()
	w := worker.New(temporal, workflows.DefaultTaskQueue, worker.Options{LocalActivityWorkerOnly: true})
	workflows.Register(w)
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	s.step("Starting the open workflows")
	imports := workflows.DefaultSettings()
	missing, err := workflows.MissingSearchAttributes(ctx, temporal, sys.Temporal.Namespace)
	if err != nil {
		return err
	}
	imports.UseSearchAttributes(missing)
	if err := inParallel(notificationsAtATime, s.GrowthOpen, func(i int) error {
		_, err := workflows.Notify(ctx, temporal, workflows.DefaultTaskQueue,
			workflows.Notification{ScrapingJobID: int64(firstMeasured + i), Status: "finished", SitemapID: 123, SitemapName: "bench"}, imports)
		return err
	}); err != nil {
		return err
	}
	s.step("Waiting until Temporal lists all of them, and the worker knows them")
	reader := overview.Reader{Temporal: temporal}
	if err := waitFor(ctx, time.Second, func() (bool, error) {
		open, err := temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: workflows.OpenImports})
		if err != nil || open.GetCount() < int64(s.GrowthOpen) {
			return false, err
		}
		// The last ones start last.
		newest, _, err := reader.Open(ctx, 50, nil)
		return !slices.ContainsFunc(newest, func(i overview.Import) bool { return !i.ProgressKnown }), err
	}); err != nil {
		return err
	}
	at, err := url.Parse(sys.WebhookURL)
	if err != nil {
		return err
	}
	page := func(path string) func(context.Context) error {
		return func(ctx context.Context) error { return getPage(ctx, "http://"+at.Host+"/imports"+path) }
	}
	command := func(args ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := sys.Programs.RunStarter(ctx, sys.Env, args...)
			return err
		}
	}
	t := r.table(fmt.Sprintf("growth: what operators see, with %s imports of one sitemap in the history and %s open workflows; medians, rounds: %d",
		thousands(float64(s.GrowthImports)), thousands(float64(s.GrowthOpen)), s.Rounds), "", "seconds", "goal")
	var contenders []contender
	for _, of := range []struct {
		name, title string
		look        func(context.Context) error
	}{
		{"page", "page /imports", page("")},
		{"page_history", "the page's history, in its middle", page(fmt.Sprintf("?before=%d", s.GrowthImports/2))},
		{"page_sitemap", "page of the sitemap", page("/sitemap?sitemap=bench")},
		{"page_job", "page of an open import", page(fmt.Sprintf("/%d", firstMeasured))},
		{"list", "starter list", command("list")},
		{"list_attention", "starter list --needs-attention", command("list", "--needs-attention")},
		{"status", "starter status", command("status", fmt.Sprint(firstMeasured))},
	} {
		contenders = append(contenders, contender{name: of.name, title: of.title, run: timed(of.look)})
	}
	for _, c := range contenders { // the first one connects
		if _, err := c.once(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
	}
	seconds, err := s.compare(ctx, contenders)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		t.row(c.title, r.figure("operators."+c.name+"_seconds", "%.3f", seconds[c.name]), fmt.Sprintf("≤ %.1f", goalForOperators))
	}
	return nil
}

func getPage(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(pageUser, pagePassword)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", address, answer.Status, text)
	}
	return err
}
