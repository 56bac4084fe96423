// Package archive keeps the files of scraping jobs in a bucket of
// gocloud.dev/blob, compressed with zstd, so that a job can be imported again
// after it was deleted in Web Scraper Cloud.
//
// Each file is one blob, which needs neither a database nor the bucket's
// metadata to be understood:
//
//	scrapingjobs/<scrapingjob_id>/<requested_at, UTC>-<sha256>.jsonl.zst (or .csv.zst)
//
// Those of other accounts than the default one are under accounts/<account>/.
//
// A file begins with a skippable frame of zstd that holds the File as JSON; what
// follows is the file itself, which "zstd -d" gives back.
package archive
