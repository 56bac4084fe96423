package activities

import (
	"errors"
	"fmt"
	"io"
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
	switch format {
	case "", FormatJSON:
		if _, err := file.Seek(mark.Bytes, io.SeekStart); err != nil {
			return nil, fmt.Errorf("resuming in the spool file: %w", err)
		}
		return &jsonRecords{
			lines:          webscraper.NewJSONLinesReader(file, maxRecordBytes, webscraper.ContinueAfter(mark.Bytes, mark.LastRecordNumber)),
			maxRecordBytes: maxRecordBytes,
		}, nil
	case FormatCSV:
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("reading the header of the spool file: %w", err)
		}
		return newCSVRecords(webscraper.ResumeCSVReader(file, maxRecordBytes, mark.Bytes, mark.LastRecordNumber), maxRecordBytes), nil
	default:
		return nil, fmt.Errorf("the spool file is in format %q, which this worker cannot read: the worker that archived it was of a later version", format)
	}
}

func overLimit(size int64, limit int) string {
	return fmt.Sprintf("%d bytes long, over the limit of %d (MAX_RECORD_BYTES)", size, limit)
}

type jsonRecords struct {
	lines          *webscraper.JSONLinesReader
	maxRecordBytes int
}

func (r *jsonRecords) next() bool { return r.lines.Next() }
func (r *jsonRecords) err() error { return r.lines.Err() }

func (r *jsonRecords) record() record {
	line := r.lines.Line()
	read := record{number: line.Number, end: line.End, data: line.Data}
	if line.TooLong {
		read.refused = overLimit(line.Size, r.maxRecordBytes)
	}
	return read
}

// csvRecords makes of each row what the JSON download holds for the record,
// columns in the header's order, but for its values: all of them are text.
type csvRecords struct {
	rows           *webscraper.CSVReader
	maxRecordBytes int
	// keys are the columns with what stands before and after them in the JSON.
	keys   [][]byte
	object []byte // the record in hand
}

func newCSVRecords(rows *webscraper.CSVReader, maxRecordBytes int) *csvRecords {
	return &csvRecords{rows: rows, maxRecordBytes: maxRecordBytes}
}

func (r *csvRecords) next() bool { return r.rows.Next() }
func (r *csvRecords) err() error { return r.rows.Err() }

func (r *csvRecords) record() record {
	row := r.rows.Row()
	read := record{number: row.Number, end: row.End, data: row.Raw}
	switch {
	case errors.Is(row.Err, webscraper.ErrRecordTooLong):
		read.refused = overLimit(row.Size, r.maxRecordBytes)
	case row.Err != nil:
		read.refused = row.Err.Error()
	default:
		read.data = r.asJSON(row.Values)
	}
	return read
}

func (r *csvRecords) asJSON(values [][]byte) []byte {
	if r.keys == nil {
		r.keys = r.encodeKeys()
	}
	r.object = r.object[:0]
	for i, value := range values {
		r.object = append(r.object, r.keys[i]...)
		r.object = jsontext.AppendQuote(r.object, value)
	}
	r.object = append(r.object, '}')
	return r.object
}

func (r *csvRecords) encodeKeys() (keys [][]byte) {
	before := "{"
	for _, column := range r.rows.Columns() {
		keys = append(keys, append(jsontext.AppendQuote([]byte(before), []byte(column)), ':'))
		before = ","
	}
	return keys
}
