package webscraper

import (
	"io"
	"iter"
)

// ReadCSVRecords reads the records of a CSV file, such as one from
// [Client.DownloadScrapingJobCSV], as [CSVReader] reads its rows. All values are
// strings. It holds one record in memory; the limit of its length, quotes and
// newlines included, is maxRecordBytes, and [DefaultMaxRecordBytes] if that is 0.
//
// A row that is not a record, because it has another number of values than there
// are columns, has a misplaced quote, is not UTF-8 or is too long, yields a
// [*RecordError], after which the reading goes on. An error of r is the last
// thing yielded.
func ReadCSVRecords(r io.Reader, maxRecordBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		rows := NewCSVReader(r, maxRecordBytes)
		for rows.Next() {
			row := rows.Row()
			record := Record{Number: row.Number}
			var err error
			if row.Err != nil {
				err = &RecordError{Line: rows.rowLine, Offset: row.Offset, Err: row.Err}
			}
			for i, value := range row.Values {
				record.Fields = append(record.Fields, Field{Column: rows.columns[i], Value: string(value)})
			}
			if !yield(record, err) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}
