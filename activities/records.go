package activities

import (
	"errors"
	"fmt"
	"os"

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
	data    []byte
	refused string
	cut     bool // data is its beginning
}

// recordReader reads the records of a file one by one. next returns false at the
// end of the file and at an error, which is err's.
type recordReader interface {
	next() bool
	record() record
	err() error
}

// newRecordReader reads the records of the file after the mark.
func newRecordReader(file *os.File, format string, maxRecordBytes int, mark sink.Mark) (recordReader, error) {
	rows := func(format webscraper.Format) *webscraper.RowReader {
		return webscraper.ResumeRowReader(file, format, maxRecordBytes, mark.Bytes, mark.LastRecordNumber)
	}
	switch format {
	case "", FormatJSON:
		return &jsonRecords{lines: rows(webscraper.FormatJSON), maxRecordBytes: maxRecordBytes}, nil
	case FormatCSV:
		return newCSVRecords(rows(webscraper.FormatCSV), maxRecordBytes), nil
	default:
		return nil, fmt.Errorf("the spool file is in format %q, which this worker cannot read: run the version of the worker that archived it, or a later one", format)
	}
}

func overLimit(size int64, limit int) string {
	return fmt.Sprintf("%d bytes long, over the limit of %d (MAX_RECORD_BYTES)", size, limit)
}

type jsonRecords struct {
	lines          *webscraper.RowReader
	maxRecordBytes int
}

func (r *jsonRecords) next() bool { return r.lines.Next() }
func (r *jsonRecords) err() error { return r.lines.Err() }

func (r *jsonRecords) record() record {
	line := r.lines.Row()
	read := record{number: line.Number, end: line.End, data: line.Raw, cut: line.Cut}
	if line.Err != nil {
		read.refused = overLimit(line.Size, r.maxRecordBytes)
	}
	return read
}

// csvRecords makes of each row what the JSON download holds for the record,
// columns in the header's order, but for its values: all of them are text.
type csvRecords struct {
	rows           *webscraper.RowReader
	maxRecordBytes int
	// keys are the columns with what stands before and after them in the JSON.
	keys   [][]byte
	object []byte // the record in hand
}

func newCSVRecords(rows *webscraper.RowReader, maxRecordBytes int) *csvRecords {
	return &csvRecords{rows: rows, maxRecordBytes: maxRecordBytes}
}

func (r *csvRecords) next() bool { return r.rows.Next() }
func (r *csvRecords) err() error { return r.rows.Err() }

func (r *csvRecords) record() record {
	row := r.rows.Row()
	read := record{number: row.Number, end: row.End, data: row.Raw, cut: row.Cut}
	switch {
	case errors.Is(row.Err, webscraper.ErrRecordTooLong):
		read.refused = overLimit(row.Size, r.maxRecordBytes)
	case row.Err != nil:
		read.refused = row.Err.Error()
	default:
		read.data = r.asJSON(row.Columns, row.Values)
	}
	return read
}

func (r *csvRecords) asJSON(columns []string, values [][]byte) []byte {
	if r.keys == nil {
		r.keys = r.encodeKeys(columns)
	}
	r.object = r.object[:0]
	for i, value := range values {
		r.object = append(r.object, r.keys[i]...)
		r.object = jsontext.AppendQuote(r.object, value)
	}
	r.object = append(r.object, '}')
	return r.object
}

func (r *csvRecords) encodeKeys(columns []string) (keys [][]byte) {
	before := "{"
	for _, column := range columns {
		keys = append(keys, append(jsontext.AppendQuote([]byte(before), []byte(column)), ':'))
		before = ","
	}
	return keys
}
