package activities

import (
	"context"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// FollowUp is a workflow of the host that is started exactly once for every published
// import, with a [sink.Publication] as its input.
type FollowUp struct {
	// WorkflowType and TaskQueue say what to start, in the imports' namespace. Required.
	WorkflowType string `json:"workflow_type"`
	TaskQueue    string `json:"task_queue"`
	// SitemapNamePrefix limits it to sitemaps whose name has this prefix.
	SitemapNamePrefix string `json:"sitemap_name_prefix,omitempty"`
}

// Announcement is what to start for a published import.
type Announcement struct {
	sink.Publication
	// FollowUp is the workflow to start, nil for none.
	FollowUp *FollowUp `json:"follow_up,omitempty"`
	// Webhook says whether to deliver the publication to the worker's webhook.
	Webhook bool `json:"webhook,omitempty"`
}

// announces reports whether publishing an import of the sitemap starts anything.
func (a *Activities) announces(sitemapName string) bool {
	return a.Webhook != nil || a.followUp(sitemapName) != nil
}

func (a *Activities) followUp(sitemapName string) *FollowUp {
	if a.OnPublished == nil || !strings.HasPrefix(sitemapName, a.OnPublished.SitemapNamePrefix) {
		return nil
	}
	return a.OnPublished
}

// announcement returns what to start for a published import, nil for nothing.
func (a *Activities) announcement(ctx context.Context, sitemapName string, importID int64) (*Announcement, error) {
	if !a.announces(sitemapName) {
		return nil, nil
	}
	publication, err := a.Sink.Publication(ctx, importID)
	if err != nil {
		return nil, err
	}
	return &Announcement{Publication: *publication, FollowUp: a.followUp(sitemapName), Webhook: a.Webhook != nil}, nil
}

// SetAnnouncedInput is the input of SetAnnounced: what was started for a publication.
type SetAnnouncedInput struct {
	sink.Publication
	// Webhook says whether to deliver the publication to the webhook, in its own workflow.
	Webhook bool `json:"webhook,omitempty"`
	// Problem says in one sentence what was not started; empty if all was.
	Problem string `json:"problem,omitempty"`
}

// SetAnnounced starts the delivery to the webhook, if asked to, and then records that the
// import is announced.
func (a *Activities) SetAnnounced(ctx context.Context, in SetAnnouncedInput) error {
	if in.Webhook {
		if err := a.Store.AddUndelivered(ctx, in.Publication); err != nil {
			return classify(ctx, err)
		}
		if err := startDelivery(ctx, in.Account, in.SitemapName); err != nil {
			return classify(ctx, err)
		}
	}
	return classify(ctx, a.Sink.SetAnnounced(ctx, in.ImportID, in.Problem))
}
