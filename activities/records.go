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
	// data is the record as a JSON object, if the file is right, or, when refused
	// says why it cannot be imported, as it stands in the file. It is valid until
	// the next record is read.
	data []byte
	// raw is the record as it came: in JSON as it stands in the file.
	raw     []byte
	refused string
	cut     bool // data is its beginning
}

// recordReader reads the records of a file one by one. Of each row of CSV it makes
// what the JSON download holds for the record, columns in the header's order, but for
// its values: all of them are text.
type recordReader struct {
	rows           *webscraper.RowReader
	maxRecordBytes int
	// keys are the columns of CSV with what stands before and after them in the JSON.
	keys   [][]byte
	object []byte // the record in hand
	names  jsontext.Names
}

// newRecordReader reads the records of the file after the mark.
func newRecordReader(file *os.File, format string, maxRecordBytes int, mark sink.Checkpoint) (*recordReader, error) {
	switch format {
	case "":
		format = FormatJSON
	case FormatJSON, FormatCSV:
	default:
		return nil, fmt.Errorf("the spool file is in format %q, which this worker cannot read: run the version of the worker that archived it, or a later one", format)
	}
	rows := webscraper.ResumeRowReader(file, webscraper.Format(format), maxRecordBytes, mark.Bytes, mark.LastRecordNumber)
	return &recordReader{rows: rows, maxRecordBytes: maxRecordBytes}, nil
}

// next returns false at the end of the file and at an error, which is err's.
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
