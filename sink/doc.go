// Package sink says what an import needs of the place where records go, so that
// it can be another than PostgreSQL: implement [RecordSink], have it checked by
// [github.com/scrapehaul/scrapehaul/sink/sinktest], and set it in the plugin's
// options. PostgreSQL's own is [github.com/scrapehaul/scrapehaul/postgres.Store].
//
// An import goes through [RecordSink.BeginImport], [Import.CommitBatches] and
// [Import.Publish], and may break and be resumed anywhere. Three rules keep it
// from losing or doubling records:
//
//   - A batch and the mark that it is done are kept together or not at all, so
//     that the next attempt goes on after the last one that is kept.
//   - From BeginImport on, an earlier attempt keeps nothing more, whether it
//     still runs or not, on whatever machine.
//   - Readers see the published import of a scraping job, all of it, until
//     Publish puts another in its place in one step.
package sink
