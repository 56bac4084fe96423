package webscraper

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"unicode/utf8"
)

type csvForm struct {
	comma byte
	// quotedNames says that names in the header may be in quotes; else, as the cloud
	// writes them, a quote is part of a name.
	quotedNames bool
}

// otherDelimiters are those that a file may have in place of the comma.
const otherDelimiters = ";\t|\\"

// triedRows are enough to tell how a file is written.
const triedRows = 100

// findCSVForm looks at the beginning of the file, 64 KiB, which it does not take. An
// error says that the file is no CSV in UTF-8 with one header, or may not be.
func findCSVForm(file *lines) (csvForm, error) {
	sample, err := file.br.Peek(maxPrefixBytes)
	if err != nil && err != io.EOF { // which comes again
		return csvForm{comma: ','}, nil
	}
	if first, _, more := bytes.Cut(sample, []byte("\r")); more && bytes.IndexByte(sample, '\n') < 0 && bytes.Count(first, []byte(`"`))%2 == 0 {
		return csvForm{}, unreadable(`its lines end with \r alone: save it with \n`)
	}
	if err == nil {
		sample = sample[:bytes.LastIndexByte(sample, '\n')+1]
	}
	if err := checkEncoding(sample); err != nil {
		return csvForm{}, err
	}
	form := csvTrial{whole: err != nil}
	form.of(sample, file.max, ',')
	if form.columns > 1 && (form.agree > 0 || form.rows == 0) {
		return form.csvForm, nil
	}
	for _, delimiter := range []byte(otherDelimiters) {
		other := csvTrial{whole: form.whole}
		other.of(sample, file.max, delimiter)
		switch {
		case other.columns > 1 && other.agree == other.rows && (other.rows > 0 || form.columns == 1):
			return other.csvForm, nil
		case other.columns > 1 && other.agree > 0:
			return csvForm{}, unreadable("its columns seem to be separated by %q, %d in the header, and %d of the first %d rows do not agree: have it exported with commas",
				delimiter, other.columns, other.rows-other.agree, other.rows)
		case other.values > 2: // in one column, they would be chance
			if err := other.check(); err != nil {
				return csvForm{}, err
			}
		}
	}
	return form.csvForm, form.check()
}

// checkEncoding tells what is not UTF-8 as a whole from what has a wrong byte
// somewhere, for which a row is rejected.
func checkEncoding(sample []byte) error {
	if header, _, _ := bytes.Cut(sample, []byte("\n")); bytes.IndexByte(header, 0) >= 0 {
		return errUTF16
	}
	if utf8.Valid(sample) {
		return nil
	}
	var line, wrong, first int
	other := true // nothing but ASCII is UTF-8
	for text := range bytes.Lines(sample) {
		line++
		if !utf8.Valid(text) {
			wrong++
			first = cmp.Or(first, line)
		} else if bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
			other = false
		}
	}
	if first == 1 || other && (wrong > 1 || line == 2) {
		return unreadable("it is not UTF-8, in line %d for one, but may be Windows-1252: save it as UTF-8", first)
	}
	return nil
}

// csvTrial is what a sample of a file is like with a delimiter.
type csvTrial struct {
	csvForm
	whole       bool // the sample is the file
	columns     int
	rows, agree int // agree have as many values as there are columns
	values      int // of every row, 0 if they differ
}

func (t *csvTrial) of(sample []byte, limit int, comma byte) {
	rows := &csvRows{csvForm: csvForm{comma: comma, quotedNames: true}}
	open := func() { rows.lines = &lines{br: bufio.NewReader(bytes.NewReader(sample)), max: limit} }
	open()
	names, err := rows.readHeader()
	if err != nil {
		rows.quotedNames = false
		open()
		names, _ = rows.readHeader()
	}
	t.csvForm, t.columns = rows.csvForm, len(names)
	for !rows.ended && t.rows < triedRows {
		if !rows.readRow(true) || rows.ended && !t.whole {
			continue
		}
		values, _ := rows.split()
		if t.rows++; t.rows == 1 {
			t.values = len(values)
		}
		if len(values) == t.columns {
			t.agree++
		}
		if len(values) != t.values {
			t.values = 0
		}
	}
}

// check tells a header that is none from a row that is not right.
func (t *csvTrial) check() error {
	if t.rows > 1 && t.agree == 0 && t.values > 0 {
		return unreadable("its rows have %d columns and its header has %d, separated by %q: see that the header is the first line, and all of it",
			t.values, t.columns, t.comma)
	}
	return nil
}
