package activities

import "context"

// Webhook is where publications are delivered to.
type Webhook struct {
	// URL is an https or http URL. It may hold a secret: it is told nobody.
	URL string
	// Secret signs what is sent, as Standard Webhooks says: "whsec_" and base64. Required.
	Secret string
}

// DeliverPublications delivers what is undelivered of a sitemap to the webhook, in the
// order of publishing, and returns when nothing is left.
func (a *Activities) DeliverPublications(ctx context.Context, sitemapName string) error {
	panic("contract only")
}
