// Package sink defines where imports store records. To store them somewhere
// other than PostgreSQL, implement [RecordSink], check the implementation with
// [github.com/scrapehaul/scrapehaul/sink/sinktest], and set it in the plugin's
// options. The PostgreSQL sink is
// [github.com/scrapehaul/scrapehaul/postgres.Store].
//
// An import calls [RecordSink.BeginImport], [Import.CommitBatches] and
// [Import.Publish]. It may fail and be resumed at any point. Three rules prevent
// lost and duplicate records:
//
//   - A batch and its checkpoint are committed together or not at all, so the
//     next attempt resumes after the last committed batch.
//   - Once BeginImport returns, earlier attempts can commit nothing more, even
//     if they are still running on another machine.
//   - Readers see all of the scraping job's published import until Publish
//     replaces it in one step.
package sink
