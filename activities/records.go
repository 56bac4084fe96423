package activities

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// record is one record of a file.
type record struct {
	number int64
	// end is the offset in the file after the record.
	end int64
	// data is the record as a JSON object. If refused says why the record cannot be
	// imported, data is as in the file. It is valid until the next record is read.
	data []byte
	// raw is the original record, in JSON as in the file.
	raw     []byte
	refused string
	cut     bool // data is only the beginning
}

// recordReader reads the records of a file one by one. It converts a CSV row to the
// record's JSON object, with columns in header order and all values as text.
type recordReader struct {
	rows           *webscraper.RowReader
	maxRecordBytes int
	// keys are the CSV columns as encoded JSON keys with the surrounding punctuation.
	keys   [][]byte
	object []byte // the current record
	names  jsontext.Names
}

// newRecordReader reads the records of the file after the checkpoint.
func newRecordReader(file *os.File, format string, maxRecordBytes int, from sink.Checkpoint) (*recordReader, error) {
	switch format {
	case "":
		format = FormatJSON
	case FormatJSON, FormatCSV:
	default:
		return nil, fmt.Errorf("the spool file is in format %q, which this worker cannot read: run the version of the worker that archived it, or a later one", format)
	}
	rows := webscraper.ResumeRowReader(file, webscraper.Format(format), maxRecordBytes, from.Bytes, from.LastRecordNumber)
	return &recordReader{rows: rows, maxRecordBytes: maxRecordBytes}, nil
}

// next returns false at the end of the file or on an error, which err returns.
func (r *recordReader) next() bool { return r.rows.Next() }
func (r *recordReader) err() error { return r.rows.Err() }

func (r *recordReader) record() record {
	row := r.rows.Row()
	read := record{number: row.Number, end: row.End, data: row.Raw, raw: row.Raw, cut: row.Cut}
	switch {
	case errors.Is(row.Err, webscraper.ErrRecordTooLong):
		read.refused = fmt.Sprintf("%d bytes long, over the limit of %d (MAX_RECORD_BYTES)", row.Size, r.maxRecordBytes)
	case row.Err != nil:
		read.refused = row.Err.Error()
	case row.Columns != nil: // of CSV
		read.data = r.asJSON(row.Columns, row.Values)
		read.raw = read.data
	default:
		read.data, read.refused = r.withUniqueNames(row.Raw)
	}
	return read
}

func (r *recordReader) asJSON(columns []string, values [][]byte) []byte {
	if r.keys == nil {
		columns = slices.Clone(columns)
		number(columns)
		r.keys = encodeKeys(columns)
	}
	r.object = r.object[:0]
	for i, value := range values {
		r.object = append(r.object, r.keys[i]...)
		r.object = jsontext.AppendQuote(r.object, value)
	}
	r.object = append(r.object, '}')
	return r.object
}

func encodeKeys(columns []string) (keys [][]byte) {
	before := "{"
	for _, column := range columns {
		keys = append(keys, append(jsontext.AppendQuote([]byte(before), []byte(column)), ':'))
		before = ","
	}
	return keys
}
