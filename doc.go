// Package scrapehaul imports the scraping jobs of Web Scraper Cloud into
// PostgreSQL, durably, on Temporal.
//
// Run the two processes in worker/ and starter/, or embed scrapehaul: a
// [Plugin] on a Temporal worker of your own brings the workflow and its
// activities, package webhook a handler for your own gin engine, and
// workflows.ScheduleReconciliation finds the jobs that no notification told of.
//
// What it promises: no record is lost, none doubled, and nothing is deleted in
// the cloud before it is verified in the database. Readers of the view
// scrapehaul.scraped_records never see half an import.
package scrapehaul
