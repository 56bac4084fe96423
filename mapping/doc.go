// Package mapping maps the records of sitemaps to rows of tables with typed columns: which
// sitemap goes to which table, and which scraped column to which column, type and cleaners.
// It reads the mappings file and converts records; it connects neither to PostgreSQL nor to
// Temporal.
//
// docs/mapping.md describes the format of the file.
package mapping
