// Package archive keeps the files of scraping jobs in a bucket of
// gocloud.dev/blob, compressed with zstd, so that a job can be re-imported after it
// was deleted in Web Scraper Cloud.
//
// Each file is one blob. It can be read without a database or bucket metadata:
//
//	scrapingjobs/<scrapingjob_id>/<requested_at, UTC>-<sha256>.jsonl.zst (or .csv.zst)
//
// For accounts other than the default one, the key starts with accounts/<account>/.
//
// A blob starts with a skippable zstd frame that contains the [File] as JSON. The
// downloaded file follows; "zstd -d" restores it.
package archive
