package webscraper

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// csvBufferBytes is how much is read from a CSV file at once.
const csvBufferBytes = 64 << 10

// ReadCSVRecords reads the records of a CSV file, such as one from
// [Client.DownloadScrapingJobCSV]: a byte order mark, one line with the names
// of the columns, and values that may contain newlines. All values are strings.
// It holds one record in memory; the limit of its length, quotes and newlines
// included, is maxRecordBytes, and [DefaultMaxRecordBytes] if that is 0. As in
// encoding/csv, blank lines are passed over, and a \r\n within a value becomes
// \n.
//
// A record with another number of values than there are columns, or that is not
// UTF-8, yields a [*RecordError], after which the reading goes on. A misplaced
// quote and a record that is too long leave unknown where the next record
// begins, so that their [*RecordError] is the last thing yielded, as is an error
// of r.
func ReadCSVRecords(r io.Reader, maxRecordBytes int) iter.Seq2[Record, error] {
	if maxRecordBytes <= 0 {
		maxRecordBytes = DefaultMaxRecordBytes
	}
	return func(yield func(Record, error) bool) {
		file, err := newCSVFile(r, maxRecordBytes)
		if err != nil {
			if !errors.Is(err, errEndOfCSV) {
				yield(Record{}, err)
			}
			return
		}
		for number := int64(1); ; number++ {
			fields, err := file.readRecord()
			if errors.Is(err, errEndOfCSV) {
				return
			}
			goesOn := err == nil || errors.Is(err, csv.ErrFieldCount) || errors.Is(err, errNotUTF8)
			if !yield(Record{Number: number, Fields: fields}, err) || !goesOn {
				return
			}
		}
	}
}

// errEndOfCSV is the end of the file. [io.EOF] would not do: a reader may wrap
// it in an error that is not the end.
var errEndOfCSV = errors.New("end of the CSV file")

// csvFile reads a CSV file record by record.
type csvFile struct {
	limit *readLimit
	max   int
	// columns are the names in the header, which ends after headerLines lines
	// and headerSize bytes.
	columns     []string
	headerLines int64
	headerSize  int64
	rows        *csv.Reader // what follows the header
}

// newCSVFile reads the header. The error of an empty file is [errEndOfCSV].
func newCSVFile(r io.Reader, maxRecordBytes int) (*csvFile, error) {
	f := &csvFile{limit: &readLimit{r: r, left: maxRecordBytes + csvBufferBytes}, max: maxRecordBytes}
	br := bufio.NewReaderSize(f.limit, csvBufferBytes)
	var names string
	for names == "" {
		line, err := br.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil, errEndOfCSV
		}
		if err != nil && err != io.EOF {
			return nil, f.error(err, f.headerLines+1, f.headerSize)
		}
		names = strings.TrimRight(line, "\r\n")
		if f.headerSize == 0 {
			names = strings.TrimPrefix(names, byteOrderMark)
		}
		f.headerLines++
		f.headerSize += int64(len(line))
	}
	// The header is not quoted, so that a quote in it is part of a name.
	header := csv.NewReader(strings.NewReader(names))
	header.LazyQuotes = true
	var err error
	if f.columns, err = header.Read(); err != nil {
		return nil, fmt.Errorf("webscraper: read the CSV header: %w", err)
	}
	f.rows = csv.NewReader(br)
	f.rows.FieldsPerRecord = -1 // see check
	return f, nil
}

// readRecord returns the next record, or [errEndOfCSV].
func (f *csvFile) readRecord() ([]Field, error) {
	start := f.rows.InputOffset()
	f.limit.left = f.max + csvBufferBytes
	values, err := f.rows.Read()
	if err == io.EOF { //nolint:errorlint // see errEndOfCSV
		return nil, errEndOfCSV
	}
	if err == nil {
		err = f.check(values, f.rows.InputOffset()-start)
	}
	if err != nil {
		line := f.headerLines
		if len(values) > 0 {
			first, _ := f.rows.FieldPos(0)
			line += int64(first)
		}
		return nil, f.error(err, line, f.headerSize+start)
	}
	fields := make([]Field, len(values))
	for i, value := range values {
		fields[i] = Field{Column: f.columns[i], Value: value}
	}
	return fields, nil
}

// check returns what is wrong with a record of that size.
func (f *csvFile) check(values []string, size int64) error {
	if size > int64(f.max) {
		return ErrRecordTooLong
	}
	if len(values) != len(f.columns) {
		return fmt.Errorf("%w: %d values for %d columns", csv.ErrFieldCount, len(values), len(f.columns))
	}
	for i, value := range values {
		if !utf8.ValidString(value) {
			return fmt.Errorf("%w in column %q", errNotUTF8, f.columns[i])
		}
	}
	return nil
}

// error returns what to yield for an error at the record that begins there.
func (f *csvFile) error(err error, line, offset int64) error {
	var parseErr *csv.ParseError
	switch {
	case errors.As(err, &parseErr):
		line = f.headerLines + int64(parseErr.StartLine)
		err = fmt.Errorf("%w at line %d, column %d", parseErr.Err, f.headerLines+int64(parseErr.Line), parseErr.Column)
	case errors.Is(err, ErrRecordTooLong):
		err = fmt.Errorf("%w: more than the %d bytes allowed", err, f.max)
	case errors.Is(err, csv.ErrFieldCount), errors.Is(err, errNotUTF8):
	default:
		return fmt.Errorf("webscraper: read CSV at byte %d: %w", offset, err)
	}
	return &RecordError{Line: line, Offset: offset, Err: err}
}

// readLimit fails with [ErrRecordTooLong] once nothing is left, so that a quote
// that is never closed does not bring the whole file into memory.
type readLimit struct {
	r    io.Reader
	left int
}

func (l *readLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, ErrRecordTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
