// Package activities holds the steps of an import: describe the scraping job,
// download it, import its records, remove the file, delete the job in the
// cloud. Each is idempotent, so that Temporal may run it any number of times.
package activities
