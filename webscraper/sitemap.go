package webscraper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Sitemap is a sitemap of the account: which pages to visit and what to select
// there.
type Sitemap struct {
	ID   int64
	Name string
	// Definition is the sitemap itself, the JSON that the browser extension
	// exports: {"_id":…,"startUrl":[…],"selectors":[…]}.
	Definition json.RawMessage
}

// Sitemap returns the sitemap with that ID. The error of a sitemap that does
// not exist satisfies [IsNotFound].
func (c *Client) Sitemap(ctx context.Context, id int64) (*Sitemap, error) {
	req := requestAbout(id, "get sitemap %d", http.MethodGet, "sitemap/%d")
	var wire struct {
		ID      wireInt         `json:"id"`
		Name    wireText        `json:"name"`
		Sitemap json.RawMessage `json:"sitemap"` // a string that contains JSON
	}
	if err := c.call(ctx, req, &wire); err != nil {
		return nil, err
	}
	sitemap := &Sitemap{ID: int64(wire.ID), Name: string(wire.Name), Definition: wire.Sitemap}
	if text, ok := firstString(wire.Sitemap); ok {
		sitemap.Definition = json.RawMessage(text)
	}
	return sitemap, nil
}

// CreateSitemap creates a sitemap of that definition, described at
// [Sitemap.Definition], and returns its ID.
func (c *Client) CreateSitemap(ctx context.Context, definition json.RawMessage) (int64, error) {
	req := request{
		operation: "create sitemap",
		method:    http.MethodPost,
		path:      "sitemap",
		body:      definition,
	}
	if !json.Valid(definition) {
		return 0, fmt.Errorf("webscraper: %s: the definition is not valid JSON: %.100q", req.operation, definition)
	}
	var created wireCreated
	err := c.call(ctx, req, &created)
	return int64(created.ID), err
}

// wireCreated is the data of an answer to a creation.
type wireCreated struct {
	ID wireInt `json:"id"`
}
