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
	// quotedNames means that names in the header may be quoted. Otherwise, as in the
	// cloud's own exports, a quote is part of a name.
	quotedNames bool
}

// otherDelimiters are accepted in place of the comma.
const otherDelimiters = ";\t|\\"

// triedRows is how many rows are enough to detect a file's form.
const triedRows = 100

// findCSVForm peeks at the first 64 KiB of the file. Its error says why the file is not,
// or may not be, CSV in UTF-8 with one header.
func findCSVForm(file *lines) (csvForm, error) {
	sample, err := file.br.Peek(maxPrefixBytes)
	if err != nil && err != io.EOF { // the next read returns it again
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
	form := csvTrial{complete: err != nil}
	form.of(sample, file.max, ',')
	if form.columns > 1 && (form.agree > 0 || form.rows == 0) {
		return form.csvForm, nil
	}
	for _, delimiter := range []byte(otherDelimiters) {
		other := csvTrial{complete: form.complete}
		other.of(sample, file.max, delimiter)
		switch {
		case other.columns > 1 && other.agree == other.rows && (other.rows > 0 || form.columns == 1):
			return other.csvForm, nil
		case other.columns > 1 && other.agree > 0:
			return csvForm{}, unreadable("its delimiter seems to be %q, with %d columns in the header, but %d of the first %d rows differ: export it with commas",
				delimiter, other.columns, other.rows-other.agree, other.rows)
		case other.values > 2: // fewer may be chance
			if err := other.check(); err != nil {
				return csvForm{}, err
			}
		}
	}
	return form.csvForm, form.check()
}

// checkEncoding returns an error if the file seems to have another encoding than UTF-8. A
// single wrong byte is not an error: only its row is rejected.
func checkEncoding(sample []byte) error {
	if header, _, _ := bytes.Cut(sample, []byte("\n")); bytes.IndexByte(header, 0) >= 0 {
		return errUTF16
	}
	if utf8.Valid(sample) {
		return nil
	}
	var line, wrong, first int
	other := true // no line has UTF-8 beyond ASCII
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
		return unreadable("it is not UTF-8 (first in line %d), possibly Windows-1252: save it as UTF-8", first)
	}
	return nil
}

// csvTrial is the result of reading a sample of a file with one delimiter.
type csvTrial struct {
	csvForm
	complete    bool // the sample is the complete file
	columns     int
	rows, agree int // agree counts the rows with one value per column
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
		if !rows.readRow(true) || rows.ended && !t.complete {
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

// check returns an error if the rows agree with each other but not with the header.
func (t *csvTrial) check() error {
	if t.rows > 1 && t.agree == 0 && t.values > 0 {
		return unreadable("its rows have %d columns and its header has %d, separated by %q: check that the first line is the complete header",
			t.values, t.columns, t.comma)
	}
	return nil
}
