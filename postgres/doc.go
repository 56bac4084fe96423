// Package postgres keeps scraped records in PostgreSQL: migrations, batched
// COPY, atomic publish.
//
// [Store] is a [sink.RecordSink]. Each batch is committed together with the checkpoint
// that it is done, so an import that breaks resumes after its last committed
// batch, and an attempt that has been overtaken by a newer one commits nothing
// more. Readers use the view scrapehaul.scraped_records, which
// shows the published import of each scraping job and changes from one import
// to the next in a single step.
//
// Take the database handle from [Open], or open one of your own with the lib/pq
// driver ("postgres"): COPY uses its raw interface.
package postgres
