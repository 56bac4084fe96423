// Package activities implements the steps of an import: describe and download the
// scraping job, import its records, remove the file, delete the job in the cloud. Each
// step is idempotent: Temporal may run it any number of times.
package activities
