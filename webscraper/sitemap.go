package webscraper

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
)

// Sitemap is a sitemap of the account: which pages to visit and what to select
// there.
type Sitemap struct {
	ID   int64
	Name string
	// Definition is the sitemap itself, the JSON that the browser extension
	// exports: {"_id":…,"startUrl":[…],"selectors":[…]}. [Client.Sitemaps]
	// leaves it nil.
	Definition json.RawMessage
}

// Sitemap returns the sitemap with that ID. The error of a sitemap that does
// not exist satisfies [IsNotFound].
func (c *Client) Sitemap(ctx context.Context, id int64) (*Sitemap, error) {
	req := requestAbout(id, "get sitemap %d", http.MethodGet, "sitemap/%d")
	var sitemap wireSitemap
	if err := c.call(ctx, req, &sitemap); err != nil {
		return nil, err
	}
	return sitemap.sitemap(), nil
}

// Sitemaps lists the account's sitemaps without their definitions, in the way of
// [Client.ScrapingJobs]. The tag, if not empty, keeps the sitemaps that have it.
func (c *Client) Sitemaps(ctx context.Context, tag string) iter.Seq2[*Sitemap, error] {
	query := url.Values{}
	if tag != "" {
		query.Set("tag", tag)
	}
	return list(ctx, c, request{
		operation: "list sitemaps",
		method:    http.MethodGet,
		path:      "sitemaps",
		query:     query,
	}, (*wireSitemap).sitemap, func(sitemap *Sitemap) int64 { return sitemap.ID })
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
	if err := checkDefinition(req.operation, definition); err != nil {
		return 0, err
	}
	var created wireCreated
	err := c.call(ctx, req, &created)
	return int64(created.ID), err
}

// UpdateSitemap replaces the definition of a sitemap.
func (c *Client) UpdateSitemap(ctx context.Context, id int64, definition json.RawMessage) error {
	req := requestAbout(id, "update sitemap %d", http.MethodPut, "sitemap/%d")
	req.body = definition
	if err := checkDefinition(req.operation, definition); err != nil {
		return err
	}
	return c.call(ctx, req, nil)
}

// DeleteSitemap deletes a sitemap. The error of a sitemap that does not exist
// satisfies [IsNotFound].
func (c *Client) DeleteSitemap(ctx context.Context, id int64) error {
	return c.call(ctx, requestAbout(id, "delete sitemap %d", http.MethodDelete, "sitemap/%d"), nil)
}

func checkDefinition(operation string, definition json.RawMessage) error {
	if !json.Valid(definition) {
		return fmt.Errorf("webscraper: %s: the definition is not valid JSON: %.100q", operation, definition)
	}
	return nil
}

// wireCreated is the data of an answer to a creation.
type wireCreated struct {
	ID wireInt `json:"id"`
}

// wireSitemap is a sitemap as the API spells it: the definition is a string
// that contains JSON.
type wireSitemap struct {
	ID      wireInt         `json:"id"`
	Name    wireText        `json:"name"`
	Sitemap json.RawMessage `json:"sitemap"`
}

func (w *wireSitemap) sitemap() *Sitemap {
	sitemap := &Sitemap{ID: int64(w.ID), Name: string(w.Name), Definition: w.Sitemap}
	if text, ok := firstString(w.Sitemap); ok {
		sitemap.Definition = json.RawMessage(text)
	}
	return sitemap
}
