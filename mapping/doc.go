// Package mapping says how the records of sitemaps become rows of tables with
// typed columns: which sitemap goes to which table, which scraped column to which
// column, of which type and cleaned how. It reads the file of mappings and
// converts records; it knows neither PostgreSQL's connections nor Temporal.
//
// The format of the file is described in docs/mapping.md.
package mapping
