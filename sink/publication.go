package sink

import (
	"fmt"
	"time"
)

// Publication is the event of a published import. Follow-up workflows, NOTIFY and the
// outgoing webhook all carry it.
type Publication struct {
	ScrapingJobID int64  `json:"scrapingjob_id" db:"scrapingjob_id"`
	Account       string `json:"account" db:"account"`
	SitemapID     int64  `json:"sitemap_id" db:"sitemap_id"`
	SitemapName   string `json:"sitemap_name" db:"sitemap_name"`
	CustomID      string `json:"custom_id,omitempty" db:"custom_id"`
	// Status is the job's in Web Scraper Cloud: "finished", "stopped" or "failed".
	Status   string `json:"status" db:"status"`
	ImportID int64  `json:"import_id" db:"import_id"`
	// ReplacedImportID is the job's import that this one replaced, 0 for none.
	ReplacedImportID int64 `json:"replaced_import_id,omitempty" db:"replaced_import_id"`
	// Kind is FirstImport, Reimport or Restore.
	Kind PublicationKind `json:"kind" db:"kind"`
	Counts
	// Columns are the records' columns in order of first appearance, at most 16 KiB of
	// names.
	Columns     []string  `json:"columns,omitempty" db:"-"`
	PublishedAt time.Time `json:"published_at" db:"published_at"`
}

// ID returns the event's ID, the same each time it is sent. It is the follow-up
// workflow's ID and the webhook-id.
func (p Publication) ID() string {
	return fmt.Sprintf("scrapingjob-%d-import-%d", p.ScrapingJobID, p.ImportID)
}

// PublicationKind is why an import was made.
type PublicationKind string

const (
	// FirstImport is the first published import of its job.
	FirstImport PublicationKind = "first"
	// Reimport replaces an earlier import of the job.
	Reimport PublicationKind = "reimport"
	// Restore comes from the archive: the job no longer exists in Web Scraper Cloud.
	Restore PublicationKind = "restore"
)
