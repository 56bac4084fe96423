package sink

import "time"

// Publication is the event that readers see an import from now on: what follow-up
// workflows, NOTIFY and the outgoing webhook get.
type Publication struct {
	ScrapingJobID int64  `json:"scrapingjob_id" db:"scrapingjob_id"`
	SitemapID     int64  `json:"sitemap_id" db:"sitemap_id"`
	SitemapName   string `json:"sitemap_name" db:"sitemap_name"`
	CustomID      string `json:"custom_id,omitempty" db:"custom_id"`
	// Status is the job's in Web Scraper Cloud: "finished", "stopped" or "failed".
	Status   string `json:"status" db:"status"`
	ImportID int64  `json:"import_id" db:"import_id"`
	// ReplacedImportID is the import of the job that readers saw before, 0 for none.
	ReplacedImportID int64 `json:"replaced_import_id,omitempty" db:"replaced_import_id"`
	// Kind is one of the following.
	Kind PublicationKind `json:"kind" db:"kind"`
	Counts
	// Columns are those of the records, in the order of their first appearance in the
	// file. Of very many the first are listed, up to 16 KiB of names.
	Columns     []string  `json:"columns,omitempty" db:"-"`
	PublishedAt time.Time `json:"published_at" db:"published_at"`
}

// PublicationKind says how an import came to be.
type PublicationKind string

const (
	// FirstImport is the first one of its job.
	FirstImport PublicationKind = "first"
	// Reimport replaces an earlier import of the job.
	Reimport PublicationKind = "reimport"
	// Restore comes from the archive: Web Scraper Cloud does not have the job any more.
	Restore PublicationKind = "restore"
)
