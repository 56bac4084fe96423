// Package scrapehaul imports scraping jobs from Web Scraper Cloud into PostgreSQL,
// durably, on Temporal.
//
// Run the two processes in worker/ and starter/, or embed scrapehaul: [NewPlugin] adds
// the workflows and activities to your Temporal worker, package webhook adds a handler to
// your gin engine, and workflows.ScheduleReconciliation finds jobs whose notifications were
// missed.
//
// No record is lost or duplicated, and nothing is deleted in the cloud before it is
// verified in the database. Readers of the view scrapehaul.scraped_records never see a
// partial import.
package scrapehaul
