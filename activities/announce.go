package activities

import (
	"context"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// FollowUp is a workflow of the host's, started once for every published import, with a
// [sink.Publication] as its input.
type FollowUp struct {
	// WorkflowType and TaskQueue say what to start, in the namespace of the imports.
	// Required.
	WorkflowType string `json:"workflow_type"`
	TaskQueue    string `json:"task_queue"`
	// SitemapNamePrefix leaves out imports of sitemaps whose name begins otherwise.
	SitemapNamePrefix string `json:"sitemap_name_prefix,omitempty"`
}

// Announcement is what is to follow from the publishing of an import.
type Announcement struct {
	sink.Publication
	// FollowUp is the workflow to start, nil for none.
	FollowUp *FollowUp `json:"follow_up,omitempty"`
	// Webhook has the publication delivered to the worker's webhook.
	Webhook bool `json:"webhook,omitempty"`
}

// announces reports whether something follows from publishing imports of a sitemap.
func (a *Activities) announces(sitemapName string) bool {
	return a.Webhook != nil || a.followUp(sitemapName) != nil
}

func (a *Activities) followUp(sitemapName string) *FollowUp {
	if a.OnPublished == nil || !strings.HasPrefix(sitemapName, a.OnPublished.SitemapNamePrefix) {
		return nil
	}
	return a.OnPublished
}

// announcement returns what is to follow from a published import, nil for nothing.
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

// SetAnnouncedInput says what has followed from a publication.
type SetAnnouncedInput struct {
	sink.Publication
	// Webhook has the publication delivered to the webhook, by a workflow of its own.
	Webhook bool `json:"webhook,omitempty"`
	// Problem says in one sentence what was not started, "" for nothing.
	Problem string `json:"problem,omitempty"`
}

// SetAnnounced notes that what follows from an import's publishing has been started,
// after it has started the delivery to the webhook, if there is to be one.
func (a *Activities) SetAnnounced(ctx context.Context, in SetAnnouncedInput) error {
	if in.Webhook {
		if err := a.Store.AddUndelivered(ctx, in.Publication); err != nil {
			return classify(ctx, err)
		}
		if err := startDelivery(ctx, in.SitemapName); err != nil {
			return classify(ctx, err)
		}
	}
	return classify(ctx, a.Sink.SetAnnounced(ctx, in.ImportID, in.Problem))
}
