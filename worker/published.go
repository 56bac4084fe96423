package main

import (
	"strings"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// publishedFlags are the settings of follow-ups.
type publishedFlags struct {
	OnPublished   string `env:"ON_PUBLISHED" placeholder:"TYPE@QUEUE" help:"Start a workflow of this type on this task queue for every published import (docs/follow-ups.md). Set the same on all workers. Off unless set."`
	SitemapPrefix string `name:"on-published-sitemap-prefix" env:"ON_PUBLISHED_SITEMAP_PREFIX" placeholder:"PREFIX" help:"Limit ON_PUBLISHED to sitemaps whose name has this prefix."`
	WebhookURL    string `name:"published-webhook-url" env:"PUBLISHED_WEBHOOK_URL" placeholder:"URL" help:"Deliver every published import to this webhook as a CloudEvent. Set the same on all workers. Off unless set."`
	WebhookSecret string `name:"published-webhook-secret" env:"PUBLISHED_WEBHOOK_SECRET" placeholder:"SECRET" help:"Secret that signs the webhook's requests (Standard Webhooks): whsec_ and 24 to 64 bytes in base64."`
}

// followUp returns nil if ON_PUBLISHED is not set.
func (f *publishedFlags) followUp(s *program.Settings) *activities.FollowUp {
	if f.OnPublished == "" {
		if f.SitemapPrefix != "" {
			s.Problem("ON_PUBLISHED is missing: ON_PUBLISHED_SITEMAP_PREFIX has no effect without it; set both or none")
		}
		return nil
	}
	workflowType, taskQueue, _ := strings.Cut(f.OnPublished, "@") // a task queue's name may contain @
	next := &activities.FollowUp{WorkflowType: workflowType, TaskQueue: taskQueue, SitemapNamePrefix: f.SitemapPrefix}
	if workflowType == "" || taskQueue == "" {
		s.Problem("ON_PUBLISHED is %q: want WorkflowType@task-queue", f.OnPublished)
	} else {
		s.Check(workflows.CheckFollowUp("ON_PUBLISHED", *next))
	}
	return next
}

// webhook returns nil if PUBLISHED_WEBHOOK_URL is not set.
func (f *publishedFlags) webhook(s *program.Settings) *activities.Webhook {
	switch {
	case f.WebhookURL == "" && f.WebhookSecret == "":
		return nil
	case f.WebhookURL == "":
		s.Problem("PUBLISHED_WEBHOOK_URL is missing: PUBLISHED_WEBHOOK_SECRET has no effect without it; set both or none")
		return nil
	}
	s.Check(validate.PublishedWebhookURL("PUBLISHED_WEBHOOK_URL", f.WebhookURL))
	s.Check(validate.PublishedWebhookSecret("PUBLISHED_WEBHOOK_SECRET", f.WebhookSecret))
	return &activities.Webhook{URL: f.WebhookURL, Secret: f.WebhookSecret}
}
