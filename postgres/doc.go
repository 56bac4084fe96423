// Package postgres keeps scraped records in PostgreSQL: migrations, batched
// COPY, atomic publish.
//
// [Store] is a [sink.RecordSink]. Each batch commits together with its checkpoint, so an
// interrupted import resumes after its last committed batch, and an attempt overtaken by a
// newer one commits nothing more. Readers use the view scrapehaul.scraped_records, which
// shows the published import of each scraping job and switches from one import to the next
// atomically.
//
// Get the database handle from [Open], or open your own with the lib/pq driver
// ("postgres"): COPY uses its raw interface.
package postgres
