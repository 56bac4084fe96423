package main

import (
	"strings"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
)

// publishedFlags say what follows from a publish.
type publishedFlags struct {
	OnPublished   string `env:"ON_PUBLISHED" placeholder:"TYPE@QUEUE" help:"Start a workflow of this type on this task queue for every published import (docs/follow-ups.md). The same on all workers. Off unless set."`
	SitemapPrefix string `name:"on-published-sitemap-prefix" env:"ON_PUBLISHED_SITEMAP_PREFIX" placeholder:"PREFIX" help:"Only for imports of sitemaps whose name begins with it."`
	WebhookURL    string `name:"published-webhook-url" env:"PUBLISHED_WEBHOOK_URL" placeholder:"URL" help:"Deliver every published import to this webhook, as a CloudEvent. The same on all workers. Off unless set."`
	WebhookSecret string `name:"published-webhook-secret" env:"PUBLISHED_WEBHOOK_SECRET" placeholder:"SECRET" help:"What signs the deliveries, as Standard Webhooks says: whsec_ and 24 to 64 bytes in base64."`
}

// followUp is nil if no workflow is to be started.
func (f *publishedFlags) followUp(s *program.Settings) *activities.FollowUp {
	if f.OnPublished == "" {
		if f.SitemapPrefix != "" {
			s.Problem("ON_PUBLISHED is missing: the workflow that ON_PUBLISHED_SITEMAP_PREFIX is for; set both or none")
		}
		return nil
	}
	workflowType, taskQueue, _ := strings.Cut(f.OnPublished, "@") // a task queue may have more of them
	if workflowType == "" || taskQueue == "" {
		s.Problem("ON_PUBLISHED is %q: want WorkflowType@task-queue", f.OnPublished)
	}
	return &activities.FollowUp{WorkflowType: workflowType, TaskQueue: taskQueue, SitemapNamePrefix: f.SitemapPrefix}
}

// webhook is nil if nothing is to be delivered.
func (f *publishedFlags) webhook(s *program.Settings) *activities.Webhook {
	switch {
	case f.WebhookURL == "" && f.WebhookSecret == "":
		return nil
	case f.WebhookURL == "":
		s.Problem("PUBLISHED_WEBHOOK_URL is missing: the webhook that PUBLISHED_WEBHOOK_SECRET is for; set both or none")
		return nil
	}
	s.Check(validate.PublishedWebhookURL("PUBLISHED_WEBHOOK_URL", f.WebhookURL))
	s.Check(validate.PublishedWebhookSecret("PUBLISHED_WEBHOOK_SECRET", f.WebhookSecret))
	return &activities.Webhook{URL: f.WebhookURL, Secret: f.WebhookSecret}
}
