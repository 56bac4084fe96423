package activities

import (
	"cmp"
	"io"
	"iter"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Record is one record of a download, as an import sees it.
type Record struct {
	// Number is the record's number, starting at 1.
	Number int64
	// Data is the record as a JSON object, valid until the next one is read. It is nil if
	// the record is Rejected.
	Data []byte
	// Rejected says why the record cannot be imported.
	Rejected string
}

// ReadRecords reads the records of a download without importing them. format is FormatCSV
// or FormatJSON, the default. maxRecordBytes limits a record's length; 0 means 16 MiB. An
// error ends the iteration.
func ReadRecords(r io.Reader, format string, maxRecordBytes int) iter.Seq2[Record, error] {
	maxRecordBytes = cmp.Or(max(maxRecordBytes, 0), DefaultMaxRecordBytes)
	rows := webscraper.NewRowReader(r, webscraper.Format(cmp.Or(format, FormatJSON)), maxRecordBytes)
	records := &recordReader{rows: rows, maxRecordBytes: maxRecordBytes}
	return func(yield func(Record, error) bool) {
		for records.next() {
			next := records.record()
			read := Record{Number: next.number, Rejected: next.refused}
			if read.Rejected == "" {
				if err := postgres.CheckRecord(next.data); err != nil {
					read.Rejected = err.Error()
				} else {
					read.Data = next.data
				}
			}
			if !yield(read, nil) {
				return
			}
		}
		if err := records.err(); err != nil {
			yield(Record{}, err)
		}
	}
}
